// A load-balancing rule: of the instances that can be served from, the one with fewest requests under way.
package main

import "unsafe"

// record is one instance of the table; see the ABI's document.
type record struct {
	idHash                                      uint64
	weight                                      float64
	joinedMs                                    uint64
	zone, cluster, flags, active                uint32
	ewmaUs                                      float32
	failureRun, metadata, metadataLength, id, _ uint32
}

const (
	serving = 15
	wanted  = serving | 16 | 32 | 128 | 512
)

var (
	// Kept here so that the collector leaves them: the table, and the last four that the host writes into.
	table   []byte
	pending [4][]byte
	next    uint
	records []record
)

//go:wasmexport lb_abi
func lbAbi() int32 { return 1 }

//go:wasmexport lb_alloc
func lbAlloc(length int32) int32 {
	if length <= 0 {
		return 0
	}
	buffer := make([]byte, length)
	pending[next%uint(len(pending))] = buffer
	next++
	return at(buffer)
}

func at(buffer []byte) int32 { return int32(uintptr(unsafe.Pointer(&buffer[0]))) }

// take gives a buffer of lb_alloc back, or nil when there is none at that place.
func take(place int32) []byte {
	for i, buffer := range pending {
		if buffer != nil && at(buffer) == place {
			pending[i] = nil
			return buffer
		}
	}
	return nil
}

//go:wasmexport lb_init
func lbInit(place, length int32) int32 {
	take(place)
	return 0
}

//go:wasmexport lb_error
func lbError() int64 { return 0 }

//go:wasmexport lb_update
func lbUpdate(place, count int32, epoch int64) int32 {
	records = nil
	// The host may also write a new list into the buffer of the one before.
	if table == nil || at(table) != place {
		table = take(place)
	}
	if table == nil {
		return 3
	}
	if count < 0 || int64(count)*64 > int64(len(table)) {
		return 2
	}
	records = unsafe.Slice((*record)(unsafe.Pointer(&table[0])), count)
	return 0
}

//go:wasmexport lb_choose
func lbChoose(keyHash, rand, nowMs int64, flags int32) int32 {
	best := int32(-1)
	for i := range records {
		// Begins elsewhere each time, so that a tie is not always the first one's.
		index := int32((uint64(rand) + uint64(i)) % uint64(len(records)))
		one := &records[index]
		usable := one.flags&wanted == serving && one.weight > 0
		if usable && (best < 0 || one.active < records[best].active) {
			best = index
		}
	}
	return best
}

func main() {}
