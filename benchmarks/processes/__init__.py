"""Work for processes: autoexec beside five pools, by time and by memory, and long runs that must survive."""
