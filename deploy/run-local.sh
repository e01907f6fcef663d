#!/usr/bin/env bash
# Runs both services on this machine, with SQLite files in data/, until Ctrl-C or until one of them ends.
# Any setting can be given in the environment; the webhook's secret is made up and kept in data/ when there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/services.sh

start ticketsvc bin/ticketsvc
start gateway bin/gateway
wait_until_one_ends
