# Images of skep; `make images` builds them.

FROM rust:1-slim-bookworm AS build
WORKDIR /skep
COPY . .
RUN cp "$(sh scripts/static-watchdog.sh)" /fwatchdog

FROM build AS build-skep
RUN cargo build --release --locked -p skep-cli && sh scripts/image-root.sh /image target/release/skep:/skep

# The platform: every role is a command of this one program.
FROM scratch AS skep
COPY --from=build-skep /image /
ENV SKEP_LISTEN=0.0.0.0:8080 SKEP_ADMIN_LISTEN=0.0.0.0:8082 SKEP_NATS_URL=nats://nats:4222
USER 65532:65532
HEALTHCHECK CMD ["/skep", "healthcheck"]
ENTRYPOINT ["/skep"]

# The watchdog alone, for function images: COPY --from=skep/watchdog /fwatchdog /usr/bin/fwatchdog
FROM scratch AS watchdog
COPY --from=build /fwatchdog /fwatchdog
CMD ["/fwatchdog"]
