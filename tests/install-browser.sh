#!/bin/sh
# The browser tests need a Chromium; on Debian and Ubuntu this installs the distribution's, elsewhere they say why they skip.
set -eu
command -v chromium >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
else
    echo "Install Chromium to run the browser tests; without it they are skipped with a reason." >&2
fi
