package forecast

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// sampleBytes of a file are looked at to tell its form.
const sampleBytes = 1 << 20

// Unpack returns the UTF-8 text behind r: gzip, zstd, bzip2, UTF-16 and the mark
// that text begins with are seen by their first bytes. The error wraps ErrFormat
// where r is packed in a way that is not read, and says which.
func Unpack(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, sampleBytes)
	magic, _ := b.Peek(6)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		b = bufio.NewReaderSize(z, sampleBytes)
	case bytes.HasPrefix(magic, []byte("BZh")):
		b = bufio.NewReaderSize(bzip2.NewReader(b), sampleBytes)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1)) // of one: starts no goroutine, so nothing is to be closed
		if err != nil {
			return nil, err
		}
		b = bufio.NewReaderSize(z, sampleBytes)
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return nil, fmt.Errorf("%w: packed by xz; unpack it with xz -dc", ErrFormat)
	case bytes.HasPrefix(magic, []byte("PK\x03\x04")):
		return nil, fmt.Errorf("%w: a zip archive or a workbook; unpack it, or save the sheet as CSV", ErrFormat)
	}
	mark, _ := b.Peek(3)
	switch {
	case bytes.HasPrefix(mark, []byte{0xff, 0xfe}):
		b = bufio.NewReaderSize(&utf16Reader{in: b, order: binary.LittleEndian}, sampleBytes)
		mark, _ = b.Peek(3)
	case bytes.HasPrefix(mark, []byte{0xfe, 0xff}):
		b = bufio.NewReaderSize(&utf16Reader{in: b, order: binary.BigEndian}, sampleBytes)
		mark, _ = b.Peek(3)
	}
	if bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(3) // what was peeked is there
	}
	return b, nil
}

// isText refuses what Unpack returned where its beginning is no text.
func isText(b *bufio.Reader) error {
	head, _ := b.Peek(512)
	switch {
	case bytes.HasPrefix(head, []byte("PAR1")):
		return fmt.Errorf("%w: Parquet; write it as CSV", ErrFormat)
	case bytes.IndexByte(head, 0) >= 0:
		return fmt.Errorf("%w: binary data; metric stores write text: /api/v1/export of VictoriaMetrics, not its native form", ErrFormat)
	}
	return nil
}

// A utf16Reader turns UTF-16, as Excel and PowerShell write it, into UTF-8. A half
// of a pair alone becomes U+FFFD.
type utf16Reader struct {
	in    *bufio.Reader
	order binary.ByteOrder
	left  []byte // of a character that did not fit
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	n := copy(p, u.left)
	u.left = u.left[n:]
	for n+utf8.UTFMax <= len(p) || n == 0 {
		unit, err := u.unit()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		c := rune(unit)
		if utf16.IsSurrogate(c) {
			second, _ := u.in.Peek(2)
			c = utf8.RuneError
			if len(second) == 2 {
				if c = utf16.DecodeRune(rune(unit), rune(u.order.Uint16(second))); c != utf8.RuneError {
					_, _ = u.in.Discard(2) // what was peeked is there
				}
			}
		}
		text := utf8.AppendRune(nil, c)
		k := copy(p[n:], text)
		u.left = text[k:]
		n += k
	}
	return n, nil
}

// unit is the next half of a pair, or the character.
func (u *utf16Reader) unit() (uint16, error) {
	var b [2]byte
	if _, err := io.ReadFull(u.in, b[:]); err != nil {
		return 0, err
	}
	return u.order.Uint16(b[:]), nil
}
