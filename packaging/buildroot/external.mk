include $(sort $(wildcard $(BR2_EXTERNAL_TERMINAL_AGENT_PATH)/package/*/*.mk))
