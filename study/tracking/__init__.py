"""MLflow: what is told to it, and where it is. The only importer of mlflow."""
