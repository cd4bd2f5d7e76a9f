#!/bin/sh
# Installs Debian's Prometheus as a program: its package would start a server and have it started at each boot.
set -e
policy=/usr/sbin/policy-rc.d # Debian's way to say that an installation may start nothing
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" prometheus
update-rc.d prometheus disable
if command -v systemctl >/dev/null; then systemctl disable prometheus; fi
