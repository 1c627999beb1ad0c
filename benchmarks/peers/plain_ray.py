"""What a user writes without foldtune: Ray Tune, Optuna and ASHA around a timm training loop, then predictions.

`python plain_ray.py TRAIN.csv TEST.csv IMAGES OUT.csv KIND TARGET SIZE SECONDS`
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import ray
import timm
import torch
from PIL import Image
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score

EPOCHS, PREDICT_S = 16, 20


def load(names, images, size):
    pixels = [np.asarray(Image.open(Path(images) / name).convert("RGB").resize((size, size))) for name in names]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def encode(texts, kind, classes):
    if kind == "multilabel":
        return torch.tensor([[float(name in text.split("|")) for name in classes] for text in texts])
    return torch.tensor([classes.index(text) for text in texts])


def decide(logits, kind, classes):
    if kind == "multilabel":
        return [
            "|".join(n for n, mark in zip(classes, row, strict=True) if mark)
            for row in (logits.sigmoid() > 0.5).tolist()
        ]
    return [classes[number] for number in logits.argmax(1).tolist()]


def judged(labels, predictions, kind, classes):
    if kind == "multilabel":
        marks = [encode(each, kind, classes).numpy() for each in (labels, predictions)]
        return f1_score(*marks, average="macro", zero_division=0)
    if kind == "ordinal":
        return cohen_kappa_score(list(map(int, labels)), list(map(int, predictions)), weights="quadratic")
    return balanced_accuracy_score(labels, predictions)


def augment(batch):
    flipped = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch.flip(3), batch)
    return torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, flipped.flip(2), flipped)


def scaled(batch):
    return (batch.float() / 255 - 0.45) / 0.25


def predict(model, pixels):
    model.eval()
    with torch.no_grad():
        return torch.cat([model(scaled(part)) for part in pixels.split(256)])


def train(config, data):
    torch.set_num_threads(1)
    pixels, texts, train_rows, valid_rows, kind, classes = data
    targets = encode(texts, kind, classes)
    model = timm.create_model(config["model"], num_classes=len(classes), drop_rate=config["drop_rate"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])
    steps = EPOCHS * (len(train_rows) // config["batch_size"] + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config["lr"], total_steps=steps)
    if kind == "multilabel":
        loss = torch.nn.BCEWithLogitsLoss()
    else:
        counts = torch.bincount(targets[train_rows], minlength=len(classes)).clamp(min=1).float()
        weights = counts.sum() / counts if config["weighted"] else torch.ones(len(classes))
        loss = torch.nn.CrossEntropyLoss(weights / weights.mean())
    labels = [texts[row] for row in valid_rows]
    for epoch in range(1, EPOCHS + 1):
        model.train()
        for rows in torch.as_tensor(train_rows)[torch.randperm(len(train_rows))].split(config["batch_size"]):
            if len(rows) == 1:
                continue
            optimizer.zero_grad()
            loss(model(scaled(augment(pixels[rows]))), targets[rows]).backward()
            optimizer.step()
            schedule.step()
        value = judged(labels, decide(predict(model, pixels[valid_rows]), kind, classes), kind, classes)
        with tempfile.TemporaryDirectory() as folder:
            torch.save(model.state_dict(), Path(folder) / "model.pt")
            tune.report({"value": value, "epoch": epoch}, checkpoint=tune.Checkpoint.from_directory(folder))


def main(train_csv, test_csv, images, out, kind, target, size, seconds):
    started = time.time()
    table, test = (pd.read_csv(path, dtype=str).fillna("") for path in (train_csv, test_csv))
    texts = table[target].tolist()
    classes = sorted({name for text in texts for name in text.split("|")} - {""})
    order = np.random.default_rng(0).permutation(len(table))
    cut = len(table) // 5
    pixels = load(table["image"], images, int(size))
    data = (pixels, texts, order[cut:], order[:cut], kind, classes)
    ray.init(address="local", num_cpus=2)
    space = {
        "model": "mobilenetv3_small_050",
        "lr": tune.loguniform(1e-3, 1e-2),
        "weight_decay": tune.loguniform(1e-3, 1e-1),
        "drop_rate": tune.uniform(0, 0.4),
        "batch_size": tune.choice([32, 64]),
        "weighted": tune.choice([True, False]),
    }
    with tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            tune.with_parameters(train, data=data),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="value",
                mode="max",
                num_samples=-1,
                time_budget_s=float(seconds) - PREDICT_S - (time.time() - started),
                search_alg=OptunaSearch(seed=0),
                scheduler=ASHAScheduler(time_attr="epoch", max_t=EPOCHS, grace_period=EPOCHS // 3),
            ),
            run_config=tune.RunConfig(
                storage_path=storage,
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_score_attribute="value"),
            ),
        )
        results = tuner.fit()
        best = results.get_best_result(scope="all")
        model = timm.create_model(best.config["model"], num_classes=len(classes))
        checkpoint = best.get_best_checkpoint("value", "max")
        with checkpoint.as_directory() as folder:
            model.load_state_dict(torch.load(Path(folder) / "model.pt"))
        written = sum(path.stat().st_size for path in Path(storage).rglob("*") if path.is_file())
    test[target] = decide(predict(model, load(test["image"], images, int(size))), kind, classes)
    test.to_csv(out, index=False)
    print(f"trials {len(results)} bytes {written}")


if __name__ == "__main__":
    main(*sys.argv[1:])
