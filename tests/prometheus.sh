#!/bin/sh
# Whether Prometheus and its promtool are here, for the tests of metrics, alerts and dashboards; if not, it prints what is missing.
for program in prometheus promtool; do
    command -v $program >/dev/null || { echo "$program is missing here (apt-get install prometheus)"; exit 1; }
done
