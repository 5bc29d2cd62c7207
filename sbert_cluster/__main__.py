"""``python -m sbert_cluster``."""

from sbert_cluster.cli.main import main

if __name__ == "__main__":
    main()
