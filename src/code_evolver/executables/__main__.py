"""`python -m code_evolver.executables`: the connector tool where its door, tools/executable/signalr_hub_connector.py, is not there."""

from code_evolver import early

if __name__ == "__main__":
    early.remember()
    from code_evolver.executables.signalr_hub_connector import main  # a stop that comes while it is imported is noted

    main()
