#!/usr/bin/env bash
# The package as a user gets it: packed, installed in an empty folder, and walked
# through the first five minutes, with each of the three kinds of agent.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
up=
trap '[ -z "$up" ] || kill -KILL "$up" 2>/dev/null || true; rm -rf "$work"' EXIT

(cd "$root" && npm pack --silent --pack-destination "$work" >/dev/null)
mkdir "$work/user" && cd "$work/user"
npm install --silent --no-save "$work"/prunella-*.tgz
system_node=$(node --version)

# On a Node that is too old the command says so in one line.
if [ "${system_node%%.*}" = v20 ]; then
  said=$(npx prunella status 2>&1 >/dev/null | grep -c 'needs Node.js 22.18' || true)
  [ "$said" = 1 ] || { echo 'an old Node was not refused in one line'; exit 1; }
fi

export PATH="$root/node_modules/node/bin:$PATH"
for kind in '' --python --command; do
  folder="$work/user/agent$kind"
  mkdir "$folder" && cd "$folder"
  npx prunella init $kind >/dev/null
  # Not through npx, which passes no signal on.
  "$work/user/node_modules/.bin/prunella" up >up.log 2>&1 &
  up=$!
  for _ in $(seq 30); do npx prunella status >/dev/null 2>&1 && break; sleep 0.5; done
  result=$(npx prunella submit hello '{"name":"Ada"}' --wait)
  echo "$result" | grep -q Ada || { echo "init $kind: got $result"; cat up.log; exit 1; }
  npx prunella why >why.txt
  [ -s why.txt ] || { echo "init $kind: why says nothing"; exit 1; }
  kill -INT "$up"
  wait "$up" || { echo "init $kind: up ended with an error"; cat up.log; exit 1; }
  up=
  grep -q '^Stopped' up.log || { echo "init $kind: it did not say what was done"; cat up.log; exit 1; }
  echo "packed package, init $kind: ok"
done
