"""Models of pictures, volumes and points."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.entries import Entry, images, itself, labelled


def normed(inside: int, outside: int, kernel: int = 3, **kwargs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False, **kwargs),
        nn.BatchNorm2d(outside),
    )


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 8, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(32, 12), nn.Tanh(), nn.Linear(12, 4)),
    )


def alexnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(8, 12, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 4)),
    )


class VGG(nn.Module):
    """Convolutions between poolings, and an adaptive mean that does not divide evenly."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in ((3, 6), (6, 8)):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(inplace=True)]
            layers.append(nn.MaxPool2d(2, 2))
        self.features, self.pool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Linear(72, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class ResNet(nn.Module):
    """A bottleneck with a shortcut of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(3, 8, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.body = nn.Sequential(
            normed(8, 4, 1), nn.ReLU(), normed(4, 4, 3, stride=2), nn.ReLU(), normed(4, 16, 1)
        )
        self.shortcut, self.head = normed(8, 16, 1, stride=2), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(F.relu(self.body(x) + self.shortcut(x)).mean((2, 3)))


class DenseNet(nn.Module):
    """Each layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, 4, 3, padding=1))
            for n in (6, 10, 14)
        )
        self.head = nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return self.head(F.adaptive_avg_pool2d(torch.cat(features, 1), 1).flatten(1))


class Squeezed(nn.Module):
    """Inverted residuals with squeeze and excitation, as MobileNetV3 and EfficientNet have them."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(3, 6, stride=2), activation())
        self.expand = nn.Sequential(normed(6, 18, 1), activation())
        self.depth = nn.Sequential(normed(18, 18, 5, groups=18), activation())
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(18, 4, 1), nn.ReLU(), nn.Conv2d(4, 18, 1)
        )
        self.project, self.head = normed(18, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depth(self.expand(x))
        x = x + self.project(y * F.hardsigmoid(self.squeeze(y)))
        return self.head(x.mean((2, 3)))


class Shuffle(nn.Module):
    """ShuffleNet: groups that exchange their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = normed(4, 8, 1, groups=2), normed(8, 8, 3, groups=8, stride=2)
        self.shuffle, self.head = nn.ChannelShuffle(2), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.shuffle(F.relu(self.first(x)))).mean((2, 3)))


class UNet(nn.Module):
    """Down and up again, with what was there before beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = normed(1, 4), normed(4, 8)
        self.up, self.back = nn.ConvTranspose2d(8, 4, 2, 2), normed(8, 4)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.down(x))
        b = self.up(F.relu(self.middle(F.max_pool2d(a, 2))))
        return self.out(F.relu(self.back(torch.cat([a, b], 1))))


def segments() -> list[Tensor]:
    return [images(1, 8), torch.randint(0, 2, (2, 8, 8))]


class Pyramid(nn.Module):
    """A feature pyramid: coarse maps enlarged and added to finer ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = normed(3, 6, stride=2), normed(6, 8, stride=2)
        self.side1, self.side2 = nn.Conv2d(6, 4, 1), nn.Conv2d(8, 4, 1)
        self.smooth, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.first(x))
        b = self.side2(F.relu(self.second(a)))
        a = self.side1(a) + F.interpolate(b, size=a.shape[-2:], mode="nearest")
        return self.head(self.smooth(a).mean((2, 3)) + b.amax((2, 3)))


class SpatialTransformer(nn.Module):
    """It learns where to look: an affine grid, sampled."""

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Sequential(nn.Flatten(), nn.Linear(64, 6))
        nn.init.normal_(self.where[1].weight, std=0.02)
        self.where[1].bias.data = torch.tensor([1.0, 0.1, 0.0, -0.1, 0.9, 0.0])
        self.body, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.where(x).view(-1, 2, 3), list(x.shape), align_corners=False)
        x = F.grid_sample(x, grid, align_corners=False)
        return self.head(F.relu(self.body(x)).mean((2, 3)))


def espcn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 4, 3, padding=1)),
        nn.PixelShuffle(2),
    )


class SRCNN(nn.Module):
    """Enlarged by a bicubic first, then sharpened."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(1, 1, 3, padding=1)
        self.after = nn.Conv2d(1, 1, 5, padding=2, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(self.before(x), scale_factor=2, mode="bicubic", align_corners=False)
        return x + self.after(F.relu(x))


def enlarged() -> list[Tensor]:
    return [images(1, 4), images(1, 8)]


class VAE(nn.Module):
    """With convolutions, noise from torch, and a loss of two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Flatten())
        self.mean, self.spread = nn.Linear(64, 3), nn.Linear(64, 3)
        self.decode = nn.Sequential(
            *(nn.Linear(3, 64), nn.Unflatten(1, (4, 4, 4)), nn.ReLU()),
            nn.ConvTranspose2d(4, 1, 4, 2, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.encode(x)
        mean, spread = self.mean(x), self.spread(x)
        # noise times zero: a step is compared with PyTorch's, which draws other numbers
        z = mean + 0.0 * torch.randn_like(mean) * (0.5 * spread).exp()
        return self.decode(z), mean, spread


def evidence(outputs: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    found, mean, spread = outputs
    divergence = -0.5 * (1 + spread - mean**2 - spread.exp()).sum(1).mean()
    return F.binary_cross_entropy_with_logits(found, (x > 0).float()) + 0.1 * divergence


class VQVAE(nn.Module):
    """The nearest word of a codebook, and a gradient straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Conv2d(1, 3, 4, 4), nn.ConvTranspose2d(3, 1, 4, 4)
        self.words = nn.Embedding(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encode(x).permute(0, 2, 3, 1)
        flat = z.reshape(-1, 3)
        nearest = torch.cdist(flat, self.words.weight).argmin(1)
        word = self.words(nearest).view(z.shape)
        commitment = F.mse_loss(word.detach(), z) + F.mse_loss(word, z.detach())
        word = z + (word - z).detach()
        return self.decode(word.permute(0, 3, 1, 2)), commitment


def generator() -> nn.Module:
    return nn.Sequential(
        *(nn.ConvTranspose2d(5, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True)),
        *(nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False), nn.Tanh()),
    )


def discriminator() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)),
        *(nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)),
        *(nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 1, 2)), nn.Flatten(0)),
    )


def c3d() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv3d(3, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d((1, 2, 2))),
        *(nn.Conv3d(4, 6, 3, padding=1, stride=(2, 1, 1)), nn.ReLU(), nn.AvgPool3d(2)),
        *(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 4)),
    )


def unet3d() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv3d(1, 3, 3, 2, 1), nn.InstanceNorm3d(3, affine=True), nn.LeakyReLU()),
        *(nn.ConvTranspose3d(3, 3, 2, 2), nn.Upsample(scale_factor=2, mode="trilinear")),
        nn.Conv3d(3, 2, 1),
    )


class PointNet(nn.Module):
    """Points turned by a matrix of their own, and the greatest of each feature."""

    def __init__(self) -> None:
        super().__init__()
        self.turn, self.turned = nn.Conv1d(3, 6, 1), nn.Linear(6, 9)
        self.points, self.norm = nn.Conv1d(3, 12, 1), nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.turned(F.relu(self.turn(x)).max(2)[0]).view(-1, 3, 3) + torch.eye(3)
        x = torch.bmm(x.transpose(2, 1), matrix).transpose(2, 1)
        return self.head(torch.max(F.relu(self.norm(self.points(x))), 2)[0])


class Radiance(nn.Module):
    """NeRF: places as waves, and light gathered along rays."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, rays: Tensor) -> Tensor:
        waves = [f(2**k * rays) for k in range(2) for f in (torch.sin, torch.cos)]
        found = self.body(torch.cat(waves, -1))
        opaque = 1 - torch.exp(-F.relu(found[..., 3]) * 0.3)
        before = torch.cumprod(1 - opaque + 1e-6, -1)
        weights = opaque * F.pad(before[:, :-1], (1, 0), value=1.0)
        return (weights.unsqueeze(-1) * found[..., :3].sigmoid()).sum(1)


class Patches(nn.Module):
    """MLP-Mixer: patches mixed, then channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.across, self.along = nn.Linear(16, 16), nn.Linear(8, 8)
        self.norm1, self.norm2, self.head = nn.LayerNorm(8), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + F.gelu(self.across(self.norm1(x).transpose(1, 2))).transpose(1, 2)
        return self.head((x + F.gelu(self.along(self.norm2(x)))).mean(1))


ZOO = {
    "LeNet": Entry(lenet, lambda: labelled(images(1))),
    "AlexNet": Entry(alexnet, lambda: labelled(images(size=32)), asks="local response norm"),
    "VGG": Entry(VGG, lambda: labelled(images()), asks="adaptive pooling"),
    "ResNet": Entry(ResNet, lambda: labelled(images(size=32, rows=4))),
    "DenseNet": Entry(DenseNet, lambda: labelled(images(size=8))),
    "MobileNetV3": Entry(lambda: Squeezed(nn.Hardswish), lambda: labelled(images())),
    "EfficientNet": Entry(lambda: Squeezed(nn.SiLU), lambda: labelled(images())),
    "ShuffleNet": Entry(Shuffle, lambda: labelled(images(4))),
    "UNet": Entry(UNet, segments, asks="transposed convolution"),
    "Feature pyramid": Entry(Pyramid, lambda: labelled(images())),
    "MLP-Mixer": Entry(Patches, lambda: labelled(images())),
    "Spatial transformer": Entry(
        SpatialTransformer, lambda: labelled(images(1, 8)), asks="grid_sample"
    ),
    "ESPCN": Entry(espcn, enlarged, F.mse_loss, "pixel shuffle"),
    "SRCNN": Entry(SRCNN, enlarged, F.mse_loss, "bicubic upsampling"),
    "VAE": Entry(VAE, lambda: itself(images(1, 8)), evidence),
    "VQ-VAE": Entry(
        VQVAE,
        lambda: itself(images(1, 8)),
        lambda y, x: F.mse_loss(y[0], x) + y[1],
        "cdist and a gradient straight through",
    ),
    "DCGAN's generator": Entry(
        generator, lambda: [torch.randn(2, 5, 1, 1), images(1, 8)], F.mse_loss
    ),
    "DCGAN's discriminator": Entry(
        discriminator,
        lambda: [images(1, 8), torch.tensor([0.0, 1.0])],
        F.binary_cross_entropy_with_logits,
        "spectral norm",
    ),
    "C3D": Entry(c3d, lambda: labelled(torch.randn(2, 3, 4, 8, 8)), asks="3-d convolution"),
    "3-d UNet": Entry(
        unet3d,
        lambda: [torch.randn(1, 1, 4, 4, 4), torch.randint(0, 2, (1, 8, 8, 8))],
        asks="3-d convolution and trilinear upsampling",
    ),
    "PointNet": Entry(PointNet, lambda: labelled(torch.randn(3, 3, 7))),
    "NeRF": Entry(
        Radiance, lambda: [torch.randn(4, 5, 3), torch.rand(4, 3)], F.mse_loss, "cumprod"
    ),
}
