# Completion of terminal-agent(8) for bash.
_terminal_agent() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    case $previous in
        -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        --parameters | --key | --wait-online) return ;;
        start)
            mapfile -t COMPREPLY < <(compgen -W \
                "end_of_day send_logs check_update open_menu reboot update lock" -- "$current")
            return
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W \
        "run validate status operations start activate discard version --config --json --wait-online --parameters --key --help --version" -- "$current")
}
complete -o filenames -F _terminal_agent terminal-agent
