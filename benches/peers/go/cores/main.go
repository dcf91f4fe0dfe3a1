// Echo on several cores whose handler computes before it answers: cores GOMAXPROCS, prints its port, and
// serves until it is ended.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"peers/laps"
)

// What was computed goes here, so that it has to be.
var sink uint64

func main() {
	runtime.GOMAXPROCS(laps.Number(1))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go answer(connection)
	}
}

func answer(connection net.Conn) {
	defer connection.Close()
	request := make([]byte, 64)
	for {
		if _, err := io.ReadFull(connection, request); err != nil {
			return
		}
		if compute() == 0 {
			sink++
		}
		if _, err := connection.Write(request); err != nil {
			return
		}
	}
}

// The same steps as those of the peers in Rust, each of which needs the one before.
func compute() uint64 {
	state := uint64(0x9e3779b97f4a7c15)
	for step := 0; step < 300_000; step++ {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
	}
	return state
}
