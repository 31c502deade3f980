"""What finished, kept in a file: a run that was stopped goes on where it was."""
