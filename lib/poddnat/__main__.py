"""``python -m poddnat``: the command line, as in the container image."""

from poddnat.cli import main

if __name__ == "__main__":
    main()
