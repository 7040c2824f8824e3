"""One trial: data, training, evaluation, result. Plain torch: no ray, no mlflow."""
