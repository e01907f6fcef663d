#!/usr/bin/env bash
# Prints the path of nginx. Fails, and says why, where it is missing.
set -euo pipefail

# Debian has it where only root's PATH leads.
if ! PATH="$PATH:/usr/sbin" command -v nginx; then
  echo "nginx is missing; on Debian: apt-get install nginx-light" >&2
  exit 1
fi
