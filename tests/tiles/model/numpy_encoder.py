"""The encoder once more, in numpy and float64, written from the formulas: what the torch one is compared with."""

import numpy as np
from scipy.special import erf


def sincos(values, width):
    omega = 1 / 10000 ** (np.arange(width // 2) / (width / 2))
    angles = np.multiply.outer(np.asarray(values, dtype=float), omega)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


def cubic(x):
    """Keys' kernel with a = -0.75."""
    x, a = abs(x), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def resampling(size, count):
    """(count, size) weights: first and last samples stay where they are, samples beyond the edge repeat it."""
    rows = np.zeros((count, size))
    for i in range(count):
        place = i * (size - 1) / (count - 1) if count > 1 else 0.0
        for j in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            rows[i, min(max(j, 0), size - 1)] += cubic(place - j)
    return rows


def positions(dim, grid, side=14):
    """(t, h, w, dim)"""
    times, height, width = grid
    line = sincos(np.arange(side), dim * 6 // 16)
    column = line if height == side else resampling(side, height) @ line
    row = line if width == side else resampling(side, width) @ line
    time = sincos(np.arange(times), dim * 4 // 16)
    codes = np.zeros((times, height, width, dim))
    for t, h, w in np.ndindex(times, height, width):
        codes[t, h, w] = np.concatenate([row[w], column[h], time[t]])
    return codes


def normed(x, weight, bias, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weight + bias


def attended(x, state, name, heads):
    parts = x @ state[f"{name}.qkv.weight"].T + state[f"{name}.qkv.bias"]
    dim = x.shape[-1]
    out = np.zeros_like(x)
    for i in range(heads):
        at = slice(i * dim // heads, (i + 1) * dim // heads)
        q, k, v = (parts[:, s * dim : (s + 1) * dim][:, at] for s in range(3))
        scores = np.exp(q @ k.T / np.sqrt(dim / heads))
        out[:, at] = scores / scores.sum(1, keepdims=True) @ v
    return out @ state[f"{name}.proj.weight"].T + state[f"{name}.proj.bias"]


def perceived(x, state, name):
    hidden = x @ state[f"{name}.fc1.weight"].T + state[f"{name}.fc1.bias"]
    hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
    return hidden @ state[f"{name}.fc2.weight"].T + state[f"{name}.fc2.bias"]


def embedded(frames, state, patch):
    """frames (T,C,H,W) to (t, h, w, dim)"""
    times, _, height, width = frames.shape
    weight = state["patch_embed.proj.weight"][:, :, 0]
    tokens = np.zeros((times, height // patch, width // patch, len(weight)))
    for t, h, w in np.ndindex(tokens.shape[:3]):
        cut = frames[t, :, h * patch : (h + 1) * patch, w * patch : (w + 1) * patch]
        tokens[t, h, w] = (weight * cut).sum((1, 2, 3)) + state["patch_embed.proj.bias"]
    return tokens


def encoded(frames, state, *, patch, heads, depth, extra=0.0):
    """frames (T,C,H,W) normalised; state of numpy arrays; `extra` is added to each patch token: (t, h, w, dim)"""
    tokens = embedded(frames, state, patch)
    grid, dim = tokens.shape[:3], tokens.shape[3]
    tokens = (tokens + positions(dim, grid) + extra).reshape(-1, dim)
    x = np.concatenate([state["cls_token"][0], tokens])
    for i in range(depth):
        block = f"blocks.{i}"
        x = x + attended(normed(x, state[f"{block}.norm1.weight"], state[f"{block}.norm1.bias"]), state,
                         f"{block}.attn", heads)  # fmt: skip
        x = x + perceived(normed(x, state[f"{block}.norm2.weight"], state[f"{block}.norm2.bias"]), state,
                          f"{block}.mlp")  # fmt: skip
    return normed(x, state["norm.weight"], state["norm.bias"])[1:].reshape(*grid, dim)
