"""The numbers of an epoch."""

METRICS = (
    "train_loss",
    "validation_loss",
    "train_accuracy",
    "validation_accuracy",
    "validation_macro_f1",
    "validation_rmse",
    "validation_mae",
    "validation_r2",
    "skill",
    "validation_skill",
    "learning_rate",
)
"""By the names of the contract, as columns of `epochs` too; `learning_rate` is that of the epoch's last step."""
