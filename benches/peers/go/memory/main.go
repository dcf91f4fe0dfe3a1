// Parks so many goroutines in the wait for one message, on one OS thread: memory COUNT.
//
// It says "ready" and waits for a line, parks them, says how many nanoseconds that took and waits once more:
// meanwhile the runner looks at its memory.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"time"

	"peers/laps"
)

func main() {
	runtime.GOMAXPROCS(1)
	count := laps.Number(1)
	lines := bufio.NewReader(os.Stdin)
	messages := make(chan struct{})
	fmt.Println("ready")
	lines.ReadString('\n')
	start := time.Now()
	parked := 0
	for number := 0; number < count; number++ {
		go func() {
			parked++
			<-messages
		}()
	}
	for parked < count {
		runtime.Gosched()
	}
	fmt.Println(time.Since(start).Nanoseconds())
	lines.ReadString('\n')
}
