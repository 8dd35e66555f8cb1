"""A sparse autoencoder learnt from activations: TopK, or ReLU with an L1 penalty, step by step, with dead features revived."""

import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from safetensors.torch import load_file, save

from llmattr.components.features.dictionary import SparseAutoencoder
from llmattr.components.features.hook import Hook
from llmattr.components.features.plan import Plan
from llmattr.core.files import write
from llmattr.core.progress import Progress
from llmattr.errors import LlmattrError

STATE = "state.safetensors"
EVERY = 30.0  # seconds between two states on disk
REVIVALS = 10  # of a run, the last two of which do not happen: a feature needs time to find its place


class Learner:
    """A sparse autoencoder of centred and scaled activations, Adam's state, and for how many steps each feature was idle."""

    def __init__(self, width: int, plan: Plan, seed: int, device: torch.device) -> None:
        drawn = torch.Generator().manual_seed(seed)
        rows = unit(torch.randn(plan.size, width, generator=drawn))
        made = {"encoder": rows.clone(), "encoder_bias": torch.zeros(plan.size), "rows": rows, "bias": torch.zeros(width)}
        self.plan = plan
        self.parameters = {name: tensor.to(device).requires_grad_() for name, tensor in made.items()}
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=plan.learning_rate)
        self.idle = torch.zeros(plan.size, dtype=torch.int64, device=device)

    @property
    def dictionary(self) -> SparseAutoencoder:
        """As it is now."""
        encoder, encoder_bias, rows, bias = self.parameters.values()
        return SparseAutoencoder(encoder, encoder_bias, rows, bias, Hook(0), self.plan.k)

    def step(self, number: int, x: Float[torch.Tensor, "b d"], seed: int) -> None:
        """One step of the plan; the features that none of the last steps used are revived in between."""
        found = self.dictionary
        codes = found.encode(x)
        error = x - found.decode(codes)
        loss = (error.square().sum() + self.plan.l1 * codes.sum()) / x.numel()
        self.optimizer.param_groups[0]["lr"] = self.plan.learning_rate * min(1.0, 5 * (1 - number / self.plan.steps))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.parameters["rows"].copy_(unit(self.parameters["rows"]))
            self.idle = torch.where((codes > 0).any(dim=0), 0, self.idle + 1)
            every = max(1, self.plan.steps // REVIVALS)
            if (number + 1) % every == 0 and number + 1 <= (REVIVALS - 2) * every:
                self.revive((self.idle >= every).nonzero()[:, 0], error.detach(), torch.Generator().manual_seed(seed + number))

    def revive(self, dead: Int[torch.Tensor, " k"], error: Float[torch.Tensor, "b d"], drawn: torch.Generator) -> None:
        """Let dead features begin anew where much is unexplained: at errors, drawn by their squares (Bricken et al. 2023)."""
        if not len(dead):
            return
        chances, many = error.square().sum(dim=1).cpu().clamp(min=1e-12), len(dead)
        drawn_from = torch.multinomial(chances, many, replacement=many > len(error), generator=drawn)  # two alike stay alike
        directions = unit(error[drawn_from.to(error.device)])
        for name, values in {"encoder": directions, "rows": directions, "encoder_bias": 0.0}.items():
            self.parameters[name][dead] = values
            for moment in ("exp_avg", "exp_avg_sq"):
                self.optimizer.state[self.parameters[name]][moment][dead] = 0.0
        self.idle[dead] = 0

    def save(self, path: Path, steps: int) -> None:
        """All that the next step needs."""
        tensors = {"idle": self.idle, "steps": torch.tensor(steps)}
        for name, parameter in self.parameters.items():
            state = {f"{name}.{moment}": value for moment, value in self.optimizer.state[parameter].items()}
            tensors |= {name: parameter.detach(), **state}
        write(path, save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}))

    def load(self, path: Path) -> int:
        """Go on from there; return how many steps were taken."""
        tensors = load_file(path)
        self.idle = tensors["idle"].to(self.idle.device)
        for name, parameter in self.parameters.items():
            parameter.data.copy_(tensors[name])
            moments = {key.removeprefix(f"{name}."): one for key, one in tensors.items() if key.startswith(f"{name}.")}
            on = {key: one if key == "step" else one.to(parameter.device) for key, one in moments.items()}
            self.optimizer.state[parameter].update(on)
        return int(tensors["steps"])


def unit(rows: Float[torch.Tensor, "n d"]) -> Float[torch.Tensor, "n d"]:
    """The same of length 1."""
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)


def learn(
    states: Float32[np.ndarray, "tokens d"], plan: Plan, seed: int, device: torch.device, folder: Path
) -> SparseAutoencoder:
    """The dictionary of these activations, in their own units; a run that was killed goes on from its state in this folder.

    Batches are drawn by the seed and the number of the step, so that it ends at the same bits.
    """
    mean, scale = moments_of(states)
    learner, path = Learner(states.shape[1], plan, seed, device), folder / STATE
    done = learner.load(path) if path.is_file() else 0
    saved = time.monotonic()
    with Progress(plan.steps, "learning features", "steps", done=done) as bar:
        for number in range(done, plan.steps):
            picked = np.random.default_rng([seed, number]).integers(0, len(states), plan.batch)
            x = torch.from_numpy((states[np.sort(picked)] - mean) * scale).to(device)
            learner.step(number, x, seed)
            bar.update()
            if time.monotonic() - saved >= EVERY:
                learner.save(path, number + 1)
                saved = time.monotonic()
    return in_units(learner.dictionary, mean, scale)


def moments_of(states: Float32[np.ndarray, "tokens d"]) -> tuple[Float32[np.ndarray, " d"], np.float32]:
    """The mean, and the factor by which what is left has the mean square norm d; raises `LlmattrError` where nothing varies."""
    mean = states.mean(axis=0, dtype=np.float64)
    square = float(np.mean([np.square(block - mean).sum(axis=1).mean() for block in np.array_split(states, _blocks(states))]))
    if not square > 0:
        raise LlmattrError("all tokens have the same activations there: nothing can be learnt from them")
    return mean.astype(np.float32), np.float32((states.shape[1] / square) ** 0.5)


def _blocks(states: np.ndarray) -> int:
    """So many that one is small."""
    return max(1, states.size // 10_000_000)


@torch.no_grad()
def in_units(found: SparseAutoencoder, mean: Float32[np.ndarray, " d"], scale: np.float32) -> SparseAutoencoder:
    """The same of activations as they are: codes are in their units, and rows of length 1."""
    centre = torch.from_numpy(mean).to(found.rows)
    encoder, rows = found.encoder.detach(), found.rows.detach()
    encoder_bias, bias = found.encoder_bias / float(scale) - encoder @ centre, centre + found.bias / float(scale)
    return SparseAutoencoder(encoder, encoder_bias, rows, bias, found.hook, found.k)
