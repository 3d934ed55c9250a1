"""`python -m code_evolver.executables`: the connector tool; its door, tools/executable/signalr_hub_connector.py, begins here too."""

import gc

from code_evolver import early


def main() -> None:
    """Serve the tool once; requests to stop are noted from here on."""
    early.remember()
    gc.disable()  # nothing that is imported is garbage: looking for some costs a twelfth of the start
    from code_evolver.executables.signalr_hub_connector import main as serve  # a stop that comes meanwhile is noted

    gc.enable()
    serve()


if __name__ == "__main__":
    main()
