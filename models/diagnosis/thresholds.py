"""Where findings begin, each with its reason. In one place, for they have to be weighed against each other."""

# When a job counts as failed

WELL_SKILL = 0.9
"""Of a job that learned well: nobody asks what cheap models do on its data."""
FAILED_SKILL = 0.5
"""Of healthy jobs the skill lies above it, of sick ones nearly always far below: skill has no units, so one number does
for every loss and every data set."""
REACHED_SKILL = 0.8
"""Of a job that did not mind a defect of its network that bounds what any network of its form can learn."""
BELOW_REFERENCE = 0.15
"""A network that much behind the best of a few cheap models on the same data has failed whatever its skill is."""
GENERALISATION_GAP = 0.28
"""Skill on training rows less that on validation rows, from which on they are two things."""
NEAR_REFERENCE = 0.15
"""One that is at most that much behind has learned what there is to learn."""
INFORMATIVE = 0.1
"""Skill of a cheap model from which on it says that the data can be learned."""
INFORMATIVE_OF_PARTS = 0.3
"""Likewise of images, signals and sequences: what is somewhere in them a cheap model misses, and may still find a
little."""
SHORT_SKILL, SHORT_OF_REFERENCE = 0.75, 0.12
"""Of a job with a cause beyond doubt: it falls short below this, or so much below an informative cheap model."""
DECIDED_SHARE, DECIDED_STEPS = 0.5, 100
"""Of its steps a job has taken before it can have failed; until then what its skill decides is a warning."""

# How much evidence

SHARE_OF_SAMPLES = 0.8
"""A finding of many samples has to be seen in so many of them."""
MANY_SAMPLES = 10
INIT_SAMPLES = 3
"""Samples at the start that speak of the network as it was made."""
FEWEST_EPOCHS = 5
"""From which on epochs say something of the course of a loss."""

# Data

LARGE_INPUT_RMS = 3.0
"""Standardised features have 1, those in [-1, 1] less. A gradient of the first layer is proportional to it, so at 3 its
curvature is 9 times that which rates and inits are made for."""
UNEVEN_FEATURES = 100.0
"""Largest deviation of a feature over the smallest: the condition of the first layer is its square (LeCun et al.
1998, Efficient BackProp, section 4.3)."""
LARGE_TARGET, SMALL_TARGET = 3.0, 1e-2
"""RMS of the targets of a regression: the last layer has to grow to it, and errors and gradients are that large (or the
deviation that small)."""
MAJORITY, ABOVE_MAJORITY = 0.7, 0.02
"""Share of the most frequent class, and what an accuracy is above it that is more than giving that class."""
FEW_ROWS = 200
"""Of fewer any network learns by heart."""

# Init

DEAD = 0.9
"""Share of silent units from which a layer passes on too little to recover."""
GAIN_HIGH, GAIN_LOW = 1.6, 0.6
"""Geometric mean of the gradient's gain a layer. Mean field theory has 1 as the critical value (Schoenholz et al.
2017); the usual inits lie between .75 and 1.2, PyTorch's own at .41 for ReLU (He et al. 2015 with a = sqrt(5))."""
LOST_DEPTH = 1e-2
"""What is left of the gradient at the first layer, that of the last layer taken as 1."""
LOST_ALTOGETHER = 1e-3
"""Below this the gradient counts as lost (mean_field.LOST), and no cause that would look like it need be asked for."""
GROWN_DEPTH, GROWN_SIGNAL = 100.0, 30.0
"""Residual layers without a norm may each be under GAIN_HIGH, and the gradient grow by the first over the depth, or the
signal by the second."""
LARGE_LOSS = 3.0
"""Loss of the first step, as a multiple of that of the best constant: the network begins far worse than by guessing."""
SATURATED, SATURATED_ALL = 0.15, 0.25
"""Mean of phi'(z) / phi'(0): the layer passes on so little of what its activation could; and where half of all layers
do."""

# Time

LOST_TIME = 1e-3
"""What is left at the far end of a sequence of the gradient at its near end."""
GROWING_TIME = 1.05
"""Gain a time step: over 100 steps 130 times."""
GROWN_TIME = 10.0
"""And over the whole sequence at least this, for a short one may well have a gain above 1."""

# Learning rate

RHO_LOW, RHO_VERY_LOW = 0.5, 0.3
"""The step ends at the minimum along it: for a quadratic rho = 1 - dw'H dw / (2 |g.dw|), and healthy jobs have 0.60 to
0.99. At 0 the loss does not fall at all, below it rises."""
RHO_AT_ONCE, RHO_MEDIOCRE = 0.2, 0.8
"""Of the first steps of a job that failed; and in the median of one whose updates are large."""
ROUNDING = 1e-6
"""Of the loss, below which a promised change says nothing of a sum of float32 outputs."""
RHO_NEGATIVE_SHARE, RHO_NEGATIVE_OFTEN = 0.05, 0.2
"""Share of the steps that raise the loss, beside a mediocre rho; and whatever rho is."""
RHO_AIM = 0.7
"""What a rate that is raised should come to."""
RHO_LINEAR, RHO_STRAIGHT = 0.95, 0.99
"""The loss is a straight line over the whole step: 1 - rho is proportional to the rate, so at 0.99 it could be 30 times
as long, and still have a rho of 0.7."""
UPDATE_TINY = 2e-4
"""Update over weight of every tensor; about 1e-3 is usual (Bottou, Karpathy), healthy jobs have 2e-5 to 7e-3."""
UPDATE_USUAL, UPDATE_EARLY = 1e-3, 0.05
"""In the course of training, and in its first steps, when gradients are largest."""
UPDATE_LARGE, UPDATE_WILD = 1e-2, 0.4
"""In the course of training; and in its first steps."""
UPDATE_DRIVING = 0.03
"""Of some tensor in some step, before units fell silent: first steps of Adam may well be of a hundredth."""
GROWN_GRADIENT = 10.0
"""Times in a hundred steps; gradients of a loss that falls do not grow so much."""
DEEP = 10
"""Hidden layers from which on the loss bends sharply wherever one goes (Li et al. 2018, Visualizing the loss landscape
of neural nets)."""
FALLING = 0.9
"""Share of the epochs in which the training loss falls, of one that falls evenly."""
MOST_LONGER = 1000.0
"""Times that a rate is raised at once: further than that a straight line says nothing."""
HELD_BACK = 0.1
"""Of its rate, where a schedule leaves no more for half of the job."""
UPDATE_NONE = 1e-8
"""Below float32's resolution of a weight (6e-8) nothing moves."""
SMALL_BATCH, NOISY_BATCH = 8, 10.0
"""Rows; and the noise scale tr(Sigma) / |G|^2 (McCandlish et al. 2018) over them, beyond which a gradient is noise. On
tasks that begin with a plateau that of any batch is."""
FEWEST_ROWS = 4
"""A step along the gradient of so few rows is long for all others."""

# Course of the loss

MEMORISED = 0.3
"""Skill on training rows of a network that has begun to learn them by heart."""
IN_VAIN = 0.1
"""Of it, of what new rows know nothing."""
STANDARD_ERRORS = 2.0
"""Of a slope, that is more than chance."""
RISEN = 1.2
"""Last validation loss over the lowest one."""
RISEN_CONSTANT = 0.1
"""And its rise as a share of the loss of the best constant."""
EARLY_MINIMUM = 0.7
"""Share of the epochs before which the lowest one lies."""
MORE_BUDGET = 5.0
"""A slow job would have learned within so many times its budget, at the pace it has."""
NOISY_SKILL = 0.02
"""Deviation of the differences of training skill between epochs."""
SKILL_LOST, SKILL_LOST_MUCH = 0.15, 0.3
"""On validation rows since the best epoch: a harm if the metric is worse too; and whatever the metric says."""
OSCILLATING, SWING = 0.2, 0.1
"""Share of epochs in which the training skill falls by so much."""
