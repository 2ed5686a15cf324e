################################################################################
#
# terminal-agent
#
################################################################################

# These files are part of the sources that they build.
TERMINAL_AGENT_VERSION = 0.1.0
TERMINAL_AGENT_SITE = $(BR2_EXTERNAL_TERMINAL_AGENT_PATH)/../..
TERMINAL_AGENT_SITE_METHOD = local
TERMINAL_AGENT_LICENSE = Apache-2.0
TERMINAL_AGENT_LICENSE_FILES = LICENSE
TERMINAL_AGENT_DEPENDENCIES = host-python3
# Buildroot adds --offline and --locked.
TERMINAL_AGENT_CARGO_BUILD_OPTS = --package terminal-agent \
	$(if $(BR2_PACKAGE_TERMINAL_AGENT_MOCK),,--no-default-features)

define TERMINAL_AGENT_INSTALL_TARGET_CMDS
	PATH=$(BR_PATH) MOCK=$(if $(BR2_PACKAGE_TERMINAL_AGENT_MOCK),yes,no) \
		$(@D)/packaging/install \
		$(@D)/target/$(RUSTC_TARGET_NAME)/$(if $(BR2_ENABLE_DEBUG),debug,release)/terminal-agent \
		$(TARGET_DIR)
endef

ifneq ($(call qstrip,$(BR2_PACKAGE_TERMINAL_AGENT_CONFIG)),)
define TERMINAL_AGENT_INSTALL_CONFIG
	$(INSTALL) -D -m 644 $(call qstrip,$(BR2_PACKAGE_TERMINAL_AGENT_CONFIG)) \
		$(TARGET_DIR)/etc/terminal-agent/agent.toml
endef
TERMINAL_AGENT_POST_INSTALL_TARGET_HOOKS += TERMINAL_AGENT_INSTALL_CONFIG
endif

# The same in every image: the data partition belongs to this id.
define TERMINAL_AGENT_USERS
	terminal-agent 880 terminal-agent 880 * - - - Payment terminal agent
endef

$(eval $(cargo-package))
