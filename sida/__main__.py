"""`python -m sida`, which launchers such as torchrun can start."""

from sida.cli import main

if __name__ == "__main__":
    main()
