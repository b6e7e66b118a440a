"""The rules of mapping that a site may decide otherwise, each with its default and its source.

Where the specification leaves a rule open or marks it as one to be settled by a clinician, the answer is a
choice here, not a fact in the code. Every other rule is fixed.
"""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from fhir_srs.model import Ground

ScaleRule = Literal["assume", "refuse"]
UnitRule = Literal["infer", "Gy", "cGy", "refuse"]
OrderIntent = Literal["order", "original-order", "reflex-order", "filler-order", "instance-order", "plan"]


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What a site decided, or the defaults.

    *unstated_pain_scale*: LOINC 38208-5 states no scale. `assume` 0 to 10 where the value fits
    (`scale-assumed`), or `refuse` it (`scale-unknown`). `spec/fhir-mapping.md` section 4.

    *dose_without_unit*: `infer` the one of Gy and cGy that gives 1 to 30 Gy a fraction; take it as `Gy` or
    `cGy`, where the sender's document says so; or `refuse` it. Always `dose-unit-missing`. Section 6.

    *radiosurgery_evidence*: the grounds that make a treatment SRS or SBRT: a `code`, a `text`, the `dose`
    and fractions. A site whose procedure codes are unreliable leaves `code` out. Section 1.4.

    *same_course_days*: procedures at one level that are at most so far apart are one course. Section 1.3.

    *order_intents*: the values of MedicationRequest.intent that order a drug. R4 knows more than `order`;
    a `plan` is one only where a site writes its prescriptions so. `spec/endpoints.md` section 4.

    *patient_limit*: of how many resources one patient may consist, those of other kinds of data not counted.
    Beyond it all are refused (`patient-too-large`): a patient is mapped in one piece, in memory.
    `spec/performance.md` section 7.
    """

    unstated_pain_scale: ScaleRule = "assume"
    dose_without_unit: UnitRule = "infer"
    radiosurgery_evidence: tuple[Ground, ...] = ("code", "text", "dose")
    same_course_days: Annotated[int, msgspec.Meta(ge=0, le=120)] = 14
    order_intents: tuple[OrderIntent, ...] = ("order",)
    patient_limit: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 20_000

    @property
    def same_course(self) -> timedelta:
        """As *same_course_days*."""
        return timedelta(days=self.same_course_days)
