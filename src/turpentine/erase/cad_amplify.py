"""CADAmplify: zero the few weights that suppress a concept (Nguyen et al. 2024, arXiv 2412.02542)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from turpentine.concepts import Concept, Concepts
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress, Tracker
from turpentine.core.settings import Count, Finite, Seed, Share
from turpentine.erase.common import Per, Sized, as_concepts, checkpoint_of, collate, provenance_of, torch_mode
from turpentine.models import Selection, check_windowless

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.attribution import Attribution, Objective
    from turpentine.edits import Edit
    from turpentine.erase._attribution_run import ResumableAttribution
    from turpentine.models import Model


@dataclass(frozen=True)
class CADAmplify(Sized):
    """Zero the weights whose removal most helps the model to denoise pictures of a concept, so that it shows it more.

    J = −E‖ε − ε(x_t, c)‖² over noised pictures of the concept c (equation 5 of arXiv 2412.02542). Weight i scores
    α_i = w_i·∂J/∂w_i, the first-order change of J when it is set to 0 (equation 3); the weights with the most negative
    α are zeroed. Each of several concepts is attributed on its own, and the union is zeroed.

    Defaults are the published values for Stable Diffusion 1.4: five pictures of each object that a classifier gets
    right, a thousandth of each row. The zeroed positions reveal to whoever has them which weights suppress the concept.

    Args:
        sites: The layers to choose from, as for CAD; sites with a window are refused, as the points are of the whole
            schedule.
        share: How much of each row's weights is changed.
        per: What the share is counted of: each row, the whole matrix, or each row and rounded down as published.
        images: Paths of pictures of the concept; with none they come from the `source`.
        source: "generated": pictures that the model itself generates for the concept. "world": renders of the emoji
            world that its judge recognises.
        pictures: Number of pictures of each concept from the source.
        draws: Points for each picture, each with noise and a timestep of its own.
        sampling_steps: DDIM steps of a generated picture.
        guidance_scale: How strongly the prompt guides a generated picture.
        batch_size: Rows of a call with gradients; it affects memory, and the last bits only.
        seed: Seed of pictures and noise.

    Example:
        >>> method = CADAmplify(share=0.01, pictures=1, draws=2, sampling_steps=2)
        >>> list(method(model, Concept("church")).provenance.measurements)
        ['images_digest', 'objective', 'predicted_rise']
    """

    name: ClassVar[str] = "cad-amplify"

    small_world: ClassVar[Mapping[str, Any]] = {"source": "world"}
    """Settings for models of the embedded one's size: the emoji world's pictures."""

    sites: Selection = "feed-forward"
    share: Share = 0.001
    per: Per = "row"
    images: tuple[str, ...] = ()
    source: Literal["generated", "world"] = "generated"
    pictures: Count = 5
    draws: Count = 50
    sampling_steps: Count = 50
    guidance_scale: Finite = 7.5
    batch_size: Count = 8
    seed: Seed = 0

    def inputs(self) -> dict[str, str]:
        """Return the SHA-256 of each of `images`, by its path.

        Raises:
            BadArgument: A file cannot be read.
        """
        from turpentine.erase.examples import digests_of

        return digests_of(self.images)

    @torch_mode("inference_mode", False)
    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        examples: Sequence[Image.Image] = (),
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Amplify one concept or several.

        For each concept the denoiser sees `draws` rows forward and backward for each picture, and what it takes to
        generate pictures. The provenance's measurements hold, for each concept, J (`objective`) and the rise of J that
        zeroing is predicted to cause (`predicted_rise`), and the SHA-256 of given pictures (`images_digest`).

        Args:
            model: The model; it is not changed. Edits on it stay on: the weights are those of the model as it is.
            concept: One concept, or several.
            examples: Pictures of the concept, in the place of `images` and `source`; of any size, cropped to the
                model's.
            progress: Called with rows of the denoiser done and in all, a row with its gradient counted three times.
            checkpoint: A folder to save the state in, every 15 seconds and on Ctrl-C. The same call with it goes on to
                the same edit, bit by bit. It stays until `turpentine.core.tensors.discard` removes it.

        Returns:
            The edit.

        Raises:
            BadArgument: A setting is out of range, or the emoji world lacks the concept; raised before any work.
            EmptySelection: The sites hold no weight to choose from.
            NoMemory: The gradients do not fit into the free memory; the message says what does.
            NotFinite: A gradient is NaN or infinite; the message names the weight and the timestep.
            KeyboardInterrupt: On Ctrl-C; the message says how to go on.
        """
        from turpentine.attribution import attributable, check_attribution_fits
        from turpentine.core.hashing import digest_images
        from turpentine.core.imaging import fitted
        from turpentine.edits import Edit
        from turpentine.erase._attribution_run import ResumableAttribution
        from turpentine.erase._pruning import union, zero_largest
        from turpentine.erase.examples import from_files

        concepts = as_concepts(concept, model)
        self._check(examples, concepts)
        names = attributable(model, self.sites)
        check_attribution_fits(model, names, self.batch_size, is_copied=True)
        given = fitted(list(examples) or from_files(self.images), model.size)
        images_digest = digest_images(given)
        provenance = provenance_of(self, model, concepts)
        parts = checkpoint_of(checkpoint, model, provenance, images_digest=images_digest)
        tracker = Tracker(progress, self._rows(len(given)) * len(concepts))
        masks, measurements = [], []
        for index, each in enumerate(concepts):
            run = ResumableAttribution(parts, index, tracker)
            attribution = self._attribute(model, each, given, names, run, tracker)
            falls = {name: -alpha for name, alpha in attribution.alpha.items()}
            masks.append(zero_largest(falls, self.share, self.per))
            fall = attribution.predicted({name: zeroed.positions for name, zeroed in masks[-1].items()})
            measurements.append({"objective": attribution.value, "predicted_rise": -fall})
        provenance = provenance_of(self, model, concepts, {"images_digest": images_digest, **collate(measurements)})
        return Edit(provenance=provenance, zeroed=union(masks))

    def _attribute(
        self,
        model: Model,
        concept: Concept,
        given: list[Image.Image],
        names: tuple[str, ...],
        run: ResumableAttribution,
        tracker: Tracker,
    ) -> Attribution:
        from turpentine.attribution import Objective
        from turpentine.core.imaging import fitted
        from turpentine.erase._training.draws import draws, noise_seeds

        count = len(given) or self.pictures
        prompts = tuple(concept.prompts[row % len(concept.prompts)] for row in range(count))
        generated_rows = self._generated_rows(len(given))

        def make() -> Objective:
            images = given or fitted(self._images(model, concept, prompts), model.size)
            tracker.add(generated_rows)
            seeds = noise_seeds(draws("updates", self.seed), self.draws)
            return Objective.denoising(model, model.encode_image(images), prompts, seeds)

        objective = run.objective(model, prompts, -1.0, generated_rows, make)
        return run.attribution(model, objective, names, self.batch_size)

    def _images(self, model: Model, concept: Concept, prompts: tuple[str, ...]) -> list[Image.Image]:
        from turpentine.erase._training.draws import draws, noise_seeds
        from turpentine.erase.examples import from_model, from_world

        if self.source == "world":
            return from_world(concept, len(prompts), self.seed, min(model.size))
        seeds = noise_seeds(draws("trajectories", self.seed), len(prompts))
        return from_model(model, prompts, seeds, self.sampling_steps, self.guidance_scale)

    def _rows(self, given: int) -> int:
        """Return the number of rows of the denoiser for one concept, as progress counts them."""
        from turpentine.erase._training.training import TRAINED_ROW

        return self._generated_rows(given) + TRAINED_ROW * self.draws * (given or self.pictures)

    def _generated_rows(self, given: int) -> int:
        return 0 if given or self.source == "world" else 2 * self.sampling_steps * self.pictures

    def _check(self, examples: Sequence[Image.Image], concepts: tuple[Concept, ...]) -> None:
        from turpentine.erase.examples import check_source

        check_windowless(self.sites)
        if (examples or self.images) and len(concepts) > 1:
            raise BadArgument(f"The pictures cannot be of all {len(concepts)} concepts: amplify one at a time.")
        if not (examples or self.images):
            check_source(self.source, concepts)
