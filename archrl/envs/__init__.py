"""Decision problems as Gymnasium environments: the task contract, the shells, one file per environment."""
