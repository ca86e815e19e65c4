"""What is measured: each module holds series of one kind, which `command_line` names and runs."""
