package spreedb

import (
	"strconv"
	"strings"
)

// MaxDevices is how many devices have an address.
const MaxDevices = 255 << 16

// Address is the IP address of device i, from 0 to MaxDevices-1.
func Address(i int) string {
	return "10." + strconv.Itoa(1+i>>16) + "." + strconv.Itoa(i>>8&255) + "." + strconv.Itoa(i&255)
}

// index is the device that has an address.
func index(address string) (i int, ok bool) {
	rest, ok := strings.CutPrefix(address, "10.")
	if !ok {
		return 0, false
	}
	parts := 0
	for part := range strings.SplitSeq(rest, ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return 0, false
		}
		i = i<<8 | int(n)
		parts++
	}
	i -= 1 << 16
	return i, parts == 3 && i >= 0
}
