# Completion of terminal-agent(8) for fish.
complete -c terminal-agent -f
complete -c terminal-agent -n __fish_use_subcommand -a run -d 'Connect to the cloud and run operations'
complete -c terminal-agent -n __fish_use_subcommand -a validate -d 'Name every problem in the configuration'
complete -c terminal-agent -n __fish_use_subcommand -a status -d 'Link, clock, current operation, queue'
complete -c terminal-agent -n __fish_use_subcommand -a operations -d 'What runs or waits, and the newest verdicts'
complete -c terminal-agent -n __fish_use_subcommand -a activate -d 'Activate a deactivated terminal again'
complete -c terminal-agent -n __fish_use_subcommand -a discard -d 'Remove reports of an owner before'
complete -c terminal-agent -n __fish_use_subcommand -a version -d 'Version of the agent and of the protocol'
complete -c terminal-agent -s c -l config -r -F -d 'Configuration file'
complete -c terminal-agent -l json -d 'One JSON object instead of text'
complete -c terminal-agent -s h -l help -d 'Summary of commands and options'
complete -c terminal-agent -s V -l version -d 'Version of the agent and of the protocol'
