# Images of skep; `make images` builds them.

FROM rust:1-slim-bookworm AS build
WORKDIR /skep
COPY . .
RUN cp "$(sh scripts/static-watchdog.sh)" /fwatchdog

# The watchdog alone, for function images: COPY --from=skep/watchdog /fwatchdog /usr/bin/fwatchdog
FROM scratch AS watchdog
COPY --from=build /fwatchdog /fwatchdog
CMD ["/fwatchdog"]
