// A host of load-balancing plugins in Go, on wazero: plays transcripts against a module.
package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero"
)

func numbers(words []string) (all []uint64) {
	for _, word := range words {
		n, _ := strconv.ParseUint(word, 10, 64)
		all = append(all, n)
	}
	return all
}

// table writes instances (id hash weight joined zone cluster flags) as wasm/ABI.md lays them out.
func table(rows []string) []byte {
	le, texts, records := binary.LittleEndian, []string{""}, []byte{}
	text := func(s string) uint32 {
		texts = append(texts, s)
		return uint32(len(texts)-1) * uint32(min(1, len(strings.Trim(s, "-"))))
	}
	for _, row := range rows {
		r := strings.Fields(row)
		n, zone, cluster := numbers(r), text(r[5]), text(r[6])
		weight, _ := strconv.ParseFloat(r[3], 64)
		records, _ = binary.Append(records, le, []uint64{n[2], math.Float64bits(weight), n[4]})
		records, _ = binary.Append(records, le, []uint32{zone, cluster, uint32(n[7]), 0, 0, 0, 0, 0, text(r[1]), 0})
	}
	index, bytes := []byte{}, []byte(strings.Join(texts, ""))
	at := len(records) + 8 + 8*len(texts)
	for _, s := range texts {
		index, _ = binary.Append(index, le, [2]uint32{uint32(at), uint32(len(s))})
		at += len(s)
	}
	head, _ := binary.Append(records, le, [2]uint32{uint32(8 + len(index) + len(bytes)), uint32(len(texts))})
	return append(append(head, index...), bytes...)
}

func main() {
	code, _ := os.ReadFile(os.Args[1])
	file, _ := os.ReadFile(os.Args[2])
	ctx, unnamed := context.Background(), wazero.NewModuleConfig().WithName("")
	runtime := wazero.NewRuntime(ctx)
	module, _ := runtime.CompileModule(ctx, code)
	guest, _ := runtime.InstantiateModule(ctx, module, unnamed)
	call := func(name string, arguments ...uint64) uint64 {
		results, err := guest.ExportedFunction("lb_"+name).Call(ctx, arguments...)
		if err != nil {
			panic(err)
		}
		return append(results, 0)[0]
	}
	place := func(bytes []byte) uint64 {
		at := call("alloc", uint64(len(bytes)))
		guest.Memory().Write(uint32(at), bytes)
		return at
	}
	lines, failed, at := strings.Split(strings.TrimSpace(string(file)), "\n"), 0, uint64(0)
	for i, line := range lines {
		f, got, wanted := strings.Fields(line), uint64(0), ""
		switch n := numbers(f); f[0] {
		case "init":
			guest, _ = runtime.InstantiateModule(ctx, module, unnamed)
			got, wanted = call("init", place([]byte(line[5:])), uint64(len(line)-5)), "0"
		case "list":
			at = place(table(lines[i+1:][:n[2]]))
			got, wanted = call("update", at, n[2], n[1]), "0"
		case "flags":
			guest.Memory().WriteUint32Le(uint32(at+64*n[1]+32), uint32(n[2]))
		case "draws":
			script, _ := hex.DecodeString(strings.Trim(f[1], "-"))
			got, wanted = call("draws", place(script), uint64(len(script))), f[2]
		case "pick":
			got, wanted = call("choose", n[1:5]...), f[5]
		case "many":
			for i := range n[1] {
				got += (i%1000 + 1) * uint64(int64(int32(call("choose", 0, n[2]+i*0xd1342543de82ef95, n[3], 0)))+2)
			}
			wanted = strconv.Itoa(int(int32(n[4])))
		case "start", "report":
			call(f[0], n[1:]...)
		}
		if want, _ := strconv.ParseInt(wanted, 10, 64); int32(got) != int32(want) {
			failed++
			fmt.Printf("expected %s, got %d: %s\n", wanted, int32(got), line)
		}
	}
	fmt.Printf("%d passed, %d failed\n", len(lines)-failed, failed)
	os.Exit(min(failed, 1))
}
