"""`python -m physlm.cli` is the command `physlm`."""

from physlm.cli import main

if __name__ == "__main__":
    main()
