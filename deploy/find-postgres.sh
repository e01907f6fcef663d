#!/usr/bin/env bash
# Prints the folder with the binaries of a PostgreSQL server, as internal/testkit/postgresserver looks for them: the one with the initdb of
# PATH, else the newest that Debian has installed. Fails when there is none.
set -euo pipefail

if initdb=$(command -v initdb); then
  folder=$(dirname "$(realpath "$initdb")")
  if [[ -x $folder/postgres ]]; then
    echo "$folder"
    exit
  fi
fi
# By version, since 9.6 comes before 15.
folder=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort | while read -r candidate; do
  if [[ -x $candidate/initdb && -x $candidate/postgres ]]; then echo "$candidate"; fi
done | tail -n 1)
if [[ -z $folder ]]; then
  echo "PostgreSQL is not installed; on Debian: apt-get install postgresql" >&2
  exit 1
fi
echo "$folder"
