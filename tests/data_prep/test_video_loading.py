"""Pictures of videos: at a stated rate, of segments and folders, cropped to faces, in limits."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from codes import raises
from video_clips import draw_face, numbered, tones, write_pictures, write_video

from data_prep.video.decoding import find_streams, read_video
from data_prep.video.errors import VideoError
from data_prep.video.faces import MARGIN, choose_face, crop, load_detector
from data_prep.video.folders import read_pictures
from data_prep.video.limits import VideoLimits
from data_prep.video.loading import ClipLoader, PictureOptions
from data_prep.video.preparing import PictureSize
from data_prep.video.segment import VideoSegment, video_digests

SMALL = PictureSize(8, 8, shortest_edge=8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds at 10 pictures a second; picture k is gray 10 k."""
    pytest.importorskip("av")
    return write_pictures(tmp_path_factory.mktemp("videos") / "clip.mkv", numbered(20))


def grays(pictures):
    return [int(picture[0, 0, 0]) // 10 for picture in pictures]


def test_pictures_are_those_shown_at_the_sampled_times(clip):
    assert grays(read_video(clip, rate=10)) == list(range(20))
    assert grays(read_video(clip, rate=5)) == list(range(0, 20, 2))
    assert grays(read_video(clip, rate=4)) == [0, 2, 5, 7, 10, 12, 15, 17]


def test_a_video_of_a_lower_rate_repeats_pictures(clip):
    assert grays(read_video(clip, rate=20)) == [k // 2 for k in range(40)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0.5, 1.0, [5, 6, 7, 8, 9]), (1.7, None, [17, 18, 19]), (0.25, 0.5, [2, 3, 4])],
)
def test_a_segment_is_read_from_its_start(clip, start, end, expected):
    assert grays(read_video(clip, rate=10, start=start, end=end)) == expected


@pytest.mark.parametrize(
    ("name", "codec"), [("a.ts", "libx264"), ("a.mpg", "mpeg1video"), ("a.mp4", "mpeg4")]
)
def test_segments_of_formats_that_seek_to_a_later_key_picture(tmp_path, name, codec):
    """Those without an index, and those whose index has times of decoding."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size = 12
        for number in range(50):
            picture = np.full((48, 64, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    whole = np.array([picture.mean() for picture in read_video(tmp_path / name, rate=25)])
    for first in range(1, 48, 3):
        part = read_video(tmp_path / name, rate=25, start=first / 25, end=(first + 2) / 25)
        found = [picture.mean() for picture in part]
        assert found == pytest.approx(whole[first : first + 2], abs=1), first


def test_a_stream_that_begins_later_is_whole(tmp_path):
    """Matroska states the length from time 0."""
    av = pytest.importorskip("av")
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts = 20 + number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(list(read_video(path, rate=10))) == 10
    assert find_streams(path).seconds == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_file_with_sound_that_was_cut_is_refused(tmp_path, suffix):
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 255, (60, 32, 32, 3), dtype=np.uint8))
    whole = write_pictures(tmp_path / f"whole.{suffix}", pictures, sound=tones(6.0, 16_000, 1)[0])
    assert len(list(read_video(whole, rate=10))) == 60
    assert find_streams(whole).seconds == pytest.approx(6.0, abs=0.1)
    content = whole.read_bytes()[: whole.stat().st_size // 2]
    with raises("video-truncated" if suffix == "mkv" else "video-unreadable", VideoError):
        list(read_video(content, rate=10))


def test_content_in_memory_is_read_like_a_file(clip):
    with clip.open("rb") as file:
        assert grays(read_video(file, rate=5)) == grays(read_video(clip.read_bytes(), rate=5))


def test_a_rotated_video_is_read_upright(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "phone.mp4"
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :32] = 200  # the left half; after a quarter turn it is the lower or the upper one
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.set_display_rotation(90)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    upright = next(read_video(path, rate=10))
    assert upright.shape == (64, 32, 3)
    # Counterclockwise by 90 degrees, as FFmpeg describes it, the left half becomes the lower one.
    assert upright[48, 16, 0] > 150 > upright[16, 16, 0]


def test_a_picture_of_a_folder_is_read_upright(tmp_path):
    """A camera states how it was held; the pixels are not turned."""
    pillow = pytest.importorskip("PIL.Image")
    picture = pillow.new("RGB", (8, 4))
    picture.paste((200, 200, 200), (0, 0, 4, 4))  # the left half
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    picture.save(tmp_path / "1.png", exif=exif)
    (upright,) = read_pictures(tmp_path)
    assert upright.shape == (8, 4, 3)
    assert upright[0, 0, 0] > 150 > upright[7, 0, 0]


def test_streams_of_a_file(tmp_path, clip):
    assert find_streams(clip)[:2] == (False, True)
    assert find_streams(write_video(tmp_path / "a.mp4", sound=True))[:2] == (True, True)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"no video at all", "video-unreadable"), (None, "file-missing")],
)
def test_what_is_no_video_is_refused(tmp_path, content, code):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with raises(code, VideoError):
        list(read_video(path, rate=5))


def test_sound_alone_holds_no_pictures(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        voice = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        container.mux(voice.encode(frame))
        container.mux(voice.encode(None))
    with raises("video-stream-missing", VideoError):
        list(read_video(path, rate=5))


def test_a_segment_beyond_the_end_is_refused(clip):
    for times in ({"start": 5.0}, {"start": 1.0, "end": 9.0}):
        with raises("segment-outside", VideoError):
            list(read_video(clip, rate=5, **times))


# -- Limits ----------------------------------------------------------------------------------------


def encode(container, codec, sizes):
    """The content of a file with two pictures of each size (width, height)."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        for number, (width, height) in enumerate(sizes):
            if not number:
                stream = output.add_stream(codec, rate=10)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            gray = np.full((height, width, 3), 128, np.uint8)
            for _ in range(2):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "libx264"), ("mp4", "mpeg4"), ("avi", "mpeg4"), ("webm", "libvpx-vp9")],
)
def test_pictures_beyond_the_limit_are_refused_before_one_is_decoded(container, codec):
    content = encode(container, codec, [(96, 64)])
    decoded = []
    limits = VideoLimits(max_pixels=96 * 64 - 1)
    with raises("picture-too-large", VideoError) as error:
        list(read_video(content, rate=5, limits=limits, progress=decoded.append))
    assert "96 x 64" in str(error.value)
    assert not decoded
    assert len(list(read_video(content, rate=10, limits=VideoLimits(max_pixels=96 * 64)))) == 2


def test_a_decoder_allocates_no_picture_beyond_the_limit():
    """Of a much larger one the decoder itself refuses the size, whatever is in the header."""
    content = encode("avi", "mpeg4", [(640, 480)])
    with raises("picture-too-large", VideoError):
        list(read_video(content, rate=5, limits=VideoLimits(max_pixels=1000)))
    # The header of avi holds width and height, which is not what the decoder reads.
    size = (640).to_bytes(4, "little") + (480).to_bytes(4, "little")
    assert content.count(size) >= 1
    small = content.replace(size, (16).to_bytes(4, "little") * 2)
    with raises("picture-too-large", VideoError):
        list(read_video(small, rate=5, limits=VideoLimits(max_pixels=1000)))


def test_a_long_video_and_one_of_many_frames_are_refused(clip):
    limits = VideoLimits(max_seconds=1.5)
    with raises("video-too-long", VideoError):
        next(read_video(clip, rate=5, limits=limits))
    assert len(list(read_video(clip, rate=5, start=1.0, end=2.0, limits=limits))) == 5
    with raises("video-too-many-frames", VideoError):
        list(read_video(clip, rate=1, limits=VideoLimits(max_frames=19)))
    assert len(list(read_video(clip, rate=1, limits=VideoLimits(max_frames=20)))) == 2


def test_progress_may_end_the_reading(clip):
    def stop(n_frames):
        if n_frames == 5:
            raise KeyboardInterrupt

    options = PictureOptions(10, 20.0, SMALL)
    with pytest.raises(KeyboardInterrupt):
        ClipLoader(options).load(clip, progress=stop)


def test_a_picture_of_a_folder_beyond_the_limit_is_named(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (40, 30)).save(tmp_path / "face_1.png")
    image.new("RGB", (40, 31)).save(tmp_path / "face_2.png")
    with raises("picture-too-large", VideoError) as error:
        list(read_pictures(tmp_path, VideoLimits(max_pixels=1200)))
    assert "face_2.png has 40 x 31" in str(error.value)


def test_large_pictures_are_searched_for_faces_in_smaller_parts(clip, monkeypatch):
    sizes = []

    def detect(pictures):
        sizes.append(len(pictures))
        return [[[0, 0, 9, 9]]] * len(pictures)

    loader = ClipLoader(PictureOptions(10, 20.0, SMALL, "opencv"))
    monkeypatch.setattr(type(loader), "_detector", staticmethod(detect))
    loader.load(clip)
    assert sizes == [8, 8, 4]
    sizes.clear()
    monkeypatch.setattr("data_prep.video.loading._BYTES_AT_ONCE", 3 * 32 * 48 * 3)
    assert len(loader.load(clip).pictures) == 20
    assert sizes == [4, 4, 4, 4, 4]


# -- Loading ---------------------------------------------------------------------------------------


def test_a_long_video_is_truncated_and_its_length_is_known(tmp_path):
    path = write_video(tmp_path / "long.mp4", 3.0)
    clip = ClipLoader(PictureOptions(5, 1.0, SMALL)).load(path)
    assert clip.pictures.shape == (5, 8, 8, 3)
    assert (clip.seconds, clip.total) == (1.0, pytest.approx(3.0, abs=0.1))


def test_a_short_video_is_not_truncated(clip):
    loaded = ClipLoader(PictureOptions(5, 20.0, SMALL)).load(clip)
    assert len(loaded.pictures) == 10
    assert loaded.seconds == loaded.total


def test_a_folder_has_its_pictures_in_the_order_of_their_numbers(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for number in (2, 10, 1):
        gray = np.full((12, 16, 3), 10 * number, np.uint8)
        image.fromarray(gray).save(tmp_path / f"face_{number}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    clip = ClipLoader(PictureOptions(5, 20.0, SMALL)).load(tmp_path)
    assert grays(clip.pictures) == [1, 2, 10]
    with raises("segment-invalid", VideoError):
        ClipLoader(PictureOptions(5, 20.0, SMALL)).load(VideoSegment(tmp_path, 0.5))


def test_a_folder_without_pictures_and_a_broken_picture_are_refused(tmp_path):
    pytest.importorskip("PIL")
    loader = ClipLoader(PictureOptions(5, 20.0, SMALL))
    with raises("video-empty", VideoError):
        loader.load(tmp_path)
    (tmp_path / "1.png").write_bytes(b"\x89PNG broken")
    with raises("video-unreadable", VideoError):
        loader.load(tmp_path)


def test_digests_differ_by_content_and_segment(tmp_path, clip):
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "faces"
    folder.mkdir()
    image.fromarray(numbered(2)[1]).save(folder / "1.png")
    videos = [VideoSegment(clip), VideoSegment(clip, 1.0), VideoSegment(folder), None]
    before = video_digests(videos, tmp_path / "memory.json")
    assert len(set(before)) == 4
    assert before[3] is None
    image.fromarray(numbered(3)[2]).save(folder / "2.png")
    after = video_digests(videos, tmp_path / "memory.json")
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True]


# -- Faces -----------------------------------------------------------------------------------------


def detect_in_bright_pictures(pictures):
    """The lower right quarter of each picture of a gray above 60, and a smaller box."""
    height, width = pictures.shape[1:3]
    quarter = [width / 2, height / 2, width, height]
    return [[quarter, [0, 0, 3, 3]] if one.mean() > 60 else [] for one in pictures]


def detect_who_speaks(pictures):
    return [[[0, 0, 40, 30, 0.1], [2, 4, 12, 14, 0.9]] for _ in pictures]


def detect_nothing(pictures):
    return [[] for _ in pictures]


def detect_badly(pictures):
    return [[1, 2, 3]]


def test_pictures_without_a_face_are_left_out_and_counted(clip):
    options = PictureOptions(10, 20.0, SMALL, f"{__name__}:detect_in_bright_pictures")
    loaded = ClipLoader(options).load(clip)
    assert (loaded.n_read, loaded.n_without_face) == (20, 7)
    assert grays(loaded.pictures) == list(range(7, 20))
    again = pickle.loads(pickle.dumps(ClipLoader(options))).load(clip)
    assert np.array_equal(again.pictures, loaded.pictures)


def test_a_video_without_any_face_has_no_pictures(clip):
    options = PictureOptions(10, 20.0, SMALL, f"{__name__}:detect_nothing")
    loaded = ClipLoader(options).load(clip)
    assert loaded.pictures.shape == (0, 8, 8, 3)
    assert loaded.n_without_face == 20


def test_the_face_that_speaks_is_preferred_to_the_largest():
    boxes = np.array(detect_who_speaks([None])[0])
    assert choose_face(boxes).tolist() == [2, 4, 12, 14]
    assert choose_face(boxes[:, :4]).tolist() == [0, 0, 40, 30]
    assert choose_face(np.zeros((0, 4))) is None


def test_the_crop_is_a_square_with_a_margin_within_the_picture():
    picture = np.arange(100 * 100 * 3, dtype=np.int64).reshape(100, 100, 3).astype(np.uint8)
    face = crop(picture, np.array([40.0, 45.0, 60.0, 55.0]))
    edge = round(20 * (1 + 2 * MARGIN))
    assert face.shape == (edge, edge, 3)
    assert np.array_equal(face, picture[50 - edge // 2 :, 50 - edge // 2 :][:edge, :edge])
    assert crop(picture, np.array([0.0, 0.0, 20.0, 20.0])).shape == (24, 24, 3)
    assert crop(picture, np.array([200.0, 200.0, 220.0, 220.0])) is None


def test_boxes_of_another_form_are_refused(clip):
    options = PictureOptions(10, 20.0, SMALL, f"{__name__}:detect_badly")
    with raises("face-boxes-invalid", VideoError):
        ClipLoader(options).load(clip)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("haar", "face-detector-unknown"),
        ("no_such_module:find", "face-detector-missing"),
        ("math:pi", "face-detector-missing"),
    ],
)
def test_a_detector_that_cannot_be_loaded_is_refused(name, code):
    with raises(code) as error:
        load_detector(name)
    assert "--face-detector" in str(error.value)


def test_opencv_finds_a_drawn_face_where_it_is():
    pytest.importorskip("cv2")
    detect = load_detector("opencv")
    empty = np.full((160, 260, 3), 120, np.uint8)
    pictures = np.stack([draw_face(0.5, (160, 260), shift=50), empty])
    with_face, without = detect(pictures)
    assert len(with_face) == 1
    assert without.shape == (0, 4)
    left, top, right, bottom = with_face[0].tolist()
    assert left < 180 < right  # the middle of the face
    assert top < 80 < bottom
    assert 80 < right - left < 160


def test_pictures_do_not_name_this_file(tmp_path):
    with pytest.raises(VideoError) as error:
        ClipLoader(PictureOptions(5, 20.0, SMALL)).load(Path(tmp_path / "gone.mp4"))
    assert str(error.value) == "there is no such file"
