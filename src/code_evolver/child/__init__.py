"""The process that workflows run in: started by path, imports nothing of the package, imported by nothing."""
