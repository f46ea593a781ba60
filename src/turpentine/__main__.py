"""`python -m turpentine` is the command `turpentine`."""

from turpentine.cli import main

if __name__ == "__main__":
    main()
