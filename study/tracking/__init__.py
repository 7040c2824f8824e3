"""MLflow: what is sent to it, and where it is. The only importer of mlflow."""
