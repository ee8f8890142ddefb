"""JPEG Lossless, decoded in a helper process whose death is survived."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLosslessSV1

from tests.dicom.making import stored, write_series
from validation.dicom.isolated import Died, Helper
from validation.dicom.locators import read_image
from validation.errors import DataProblem


def compress(path: Path) -> None:
    """Rewrite a file as JPEG Lossless (process 14, selection value 1)."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


@pytest.fixture
def lossless(tmp_path: Path) -> Path:
    write_series(tmp_path / "s", n=2)
    for path in (tmp_path / "s").iterdir():
        compress(path)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    return tmp_path


def test_jpeg_lossless(lossless: Path) -> None:
    np.testing.assert_array_equal(read_image("s", lossless).array, np.stack([stored(i) * 2.0 - 1024 for i in range(2)]))


def test_damaged_jpeg_lossless_is_refused_and_the_next_file_is_read(lossless: Path) -> None:
    path = lossless / "s" / "001.dcm"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 900])
    with pytest.raises(DataProblem) as caught:
        read_image("s", lossless)
    assert caught.value.code in ("DCM-002", "DCM-006")
    path.write_bytes(data)
    assert read_image("s", lossless).array.shape[0] == 2


def test_a_dead_helper_is_noticed_and_replaced(lossless: Path) -> None:
    class Fragile(Helper):
        starts = 0

        def _start(self) -> None:
            super()._start()
            self.starts += 1
            if self.starts == 1:  # a process that ends as soon as it is asked
                assert self._process is not None
                self._process.kill()
                self._process.wait()
                assert self._process.stdin is not None
                self._process.stdin.close()
                self._process = subprocess.Popen(
                    [sys.executable, "-c", "import sys; sys.stdin.readline()"], stdin=subprocess.PIPE
                )

    helper = Fragile()
    path = lossless / "s" / "002.dcm"
    try:
        with pytest.raises(Died):
            helper.decode(path)
        np.testing.assert_array_equal(helper.decode(path), stored(0))
        assert helper.starts == 2
    finally:
        helper.close()
