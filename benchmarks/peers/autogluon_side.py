"""AutoGluon-MultiModal as its documentation shows it: one predictor with its own search; one a label where several are.

`python autogluon_side.py TRAIN.csv TEST.csv IMAGES OUT.csv KIND TARGET SIZE SECONDS`
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd
from autogluon.multimodal import MultiModalPredictor
from ray import tune

FIT_SHARE = 0.9


def predictor(table, label, problem, metric, size, seconds):
    found = MultiModalPredictor(label=label, problem_type=problem, eval_metric=metric, path=tempfile.mkdtemp())
    settings = {
        "model.timm_image.checkpoint_name": "mobilenetv3_small_050",
        "model.timm_image.pretrained": False,
        "model.timm_image.train_transforms": ["resize_to_square", "random_horizontal_flip"],
        "model.timm_image.image_size": size,
        "optim.lr": tune.loguniform(1e-3, 1e-2),
        "optim.max_epochs": 16,
        "env.per_gpu_batch_size": 64,
        "env.num_workers": 0,
    }
    search = {"searcher": "bayes", "scheduler": "ASHA", "num_trials": 8}
    return found.fit(table, hyperparameters=settings, hyperparameter_tune_kwargs=search, time_limit=seconds)


def main(train_csv, test_csv, images, out, kind, target, size, seconds):
    table, test = (pd.read_csv(path, dtype=str).fillna("") for path in (train_csv, test_csv))
    shown, pixels, budget = test[["image"]].copy(), int(size), FIT_SHARE * float(seconds)
    for frame in (table, test):
        frame["image"] = [str(Path(images) / name) for name in frame["image"]]
    found = []
    if kind == "multilabel":
        names = sorted({name for text in table[target] for name in text.split("|")} - {""})
        marks = {}
        for name in names:
            own = table[["image"]].assign(label=[int(name in text.split("|")) for text in table[target]])
            found.append(predictor(own, "label", "binary", "f1", pixels, budget / len(names)))
            marks[name] = found[-1].predict(test[["image"]])
        shown[target] = ["|".join(n for n in names if marks[n].iloc[row]) for row in range(len(test))]
    else:
        metric = {"ordinal": "quadratic_kappa", "multiclass": "balanced_accuracy"}[kind]
        own = table[["image", target]]
        found.append(predictor(own, target, "multiclass", metric, pixels, budget))
        shown[target] = found[-1].predict(test[["image"]]).to_numpy()
    shown.to_csv(out, index=False)
    written = sum(p.stat().st_size for each in found for p in Path(each.path).rglob("*") if p.is_file())
    print(f"trials -1 bytes {written}")


if __name__ == "__main__":
    main(*sys.argv[1:])
