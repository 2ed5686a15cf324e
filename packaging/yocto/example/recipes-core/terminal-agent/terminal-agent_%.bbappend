# What a terminal maker's own layer adds: the terminal's configuration, drop-ins of the unit, and a
# hardware backend of its own as a patch of the sources.
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

TERMINAL_AGENT_URI = "git://git.maker.example/terminal-agent.git;protocol=https;branch=maker;destsuffix=${BP}"
SRCREV = "0000000000000000000000000000000000000000"

SRC_URI += "\
    file://agent.toml \
    file://ca.pem \
    file://linux-backend.conf \
    file://0001-Add-the-maker-s-backend.patch \
"

# No simulated hardware on terminals in shops: a configuration that names it is refused.
CARGO_BUILD_FLAGS:append = " --no-default-features"

# With scarthgap: ${WORKDIR} in place of ${UNPACKDIR}.
do_install:append() {
    install -D -m 644 ${UNPACKDIR}/agent.toml ${D}${sysconfdir}/terminal-agent/agent.toml
    install -D -m 644 ${UNPACKDIR}/ca.pem ${D}${sysconfdir}/terminal-agent/ca.pem
    install -D -m 644 ${UNPACKDIR}/linux-backend.conf \
        ${D}${systemd_system_unitdir}/terminal-agent.service.d/linux-backend.conf
}
