SUMMARY = "Device agent of payment terminals"
DESCRIPTION = "Keeps one outbound WebSocket to the cloud, runs the operations that it receives \
on the hardware, and reports what became of each."
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

inherit cargo cargo-update-recipe-crates python3native systemd useradd

# Where the sources are: set TERMINAL_AGENT_URI and SRCREV in the distribution or a bbappend.
TERMINAL_AGENT_URI ?= "git://git.example/terminal-agent.git;protocol=https;branch=main;destsuffix=${BP}"
SRC_URI = "${TERMINAL_AGENT_URI}"
# scarthgap unpacks into WORKDIR and has no UNPACKDIR.
TERMINAL_AGENT_UNPACKED = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${TERMINAL_AGENT_UNPACKED}/${BP}"

# Every crate of Cargo.lock with its digest; made by: bitbake -c update_crates terminal-agent
# Not `require`: the recipe has to be read before that can run for the first time.
include ${BPN}-crates.inc

CARGO_BUILD_FLAGS += "--package terminal-agent"
# The release profile strips: do_package does that itself, and refuses a program that is stripped.
export CARGO_PROFILE_RELEASE_STRIP = "false"

SYSTEMD_SERVICE:${PN} = "terminal-agent.service"
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system terminal-agent"
USERADD_PARAM:${PN} = "--system --gid terminal-agent --home-dir ${localstatedir}/lib/terminal-agent \
    --no-create-home --shell /sbin/nologin terminal-agent"

do_install() {
    ${S}/packaging/install ${B}/target/${CARGO_TARGET_SUBDIR}/terminal-agent ${D}
}

FILES:${PN} += "\
    ${systemd_system_unitdir} \
    ${nonarch_libdir}/systemd/system-preset \
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${datadir}/bash-completion ${datadir}/fish ${datadir}/zsh \
"
CONFFILES:${PN} = "${sysconfdir}/terminal-agent/agent.toml"
