# What a terminal maker's own layer adds: the terminal's configuration, the authority of its cloud, a
# drop-in of the unit, and perhaps a hardware backend in Rust. Yours to fill in: URI, SRCREV,
# files/agent.toml, and files/ca.pem, which is not in this example.
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

TERMINAL_AGENT_URI = "git://git.maker.example/terminal-agent.git;protocol=https;branch=maker;destsuffix=${BP}"
SRCREV = "0000000000000000000000000000000000000000"

SRC_URI += "file://agent.toml file://ca.pem"
# A backend in Rust, unless the branch has it already:
# SRC_URI += "file://0001-Add-the-maker-s-backend.patch"

# No simulated hardware on terminals in shops: a configuration that names it is refused.
CARGO_BUILD_FLAGS:append = " --no-default-features"

# power = "linux": polkit (meta-oe) with its rules; without polkit see the guide.
# RDEPENDS:${PN} += "polkit"

do_install:append() {
    install -m 644 ${TERMINAL_AGENT_UNPACKED}/agent.toml ${D}${sysconfdir}/terminal-agent/agent.toml
    install -m 644 ${TERMINAL_AGENT_UNPACKED}/ca.pem ${D}${sysconfdir}/terminal-agent/ca.pem
    install -D -m 644 ${S}/systemd/examples/linux-backend.conf \
        ${D}${systemd_system_unitdir}/terminal-agent.service.d/linux-backend.conf
}
