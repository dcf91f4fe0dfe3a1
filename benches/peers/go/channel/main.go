// Round trips of two goroutines over two channels on one OS thread: channel CAPACITY LAPS, prints
// nanoseconds.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

func main() {
	runtime.GOMAXPROCS(1)
	capacity, _ := strconv.Atoi(os.Args[1])
	laps, _ := strconv.Atoi(os.Args[2])
	there, back := make(chan int, capacity), make(chan int, capacity)
	go func() {
		for message := range there {
			back <- message
		}
	}()
	ping := func(laps int) {
		for lap := 0; lap < laps; lap++ {
			there <- lap
			if <-back != lap {
				panic("another message came back")
			}
		}
	}
	ping(laps / 10)
	start := time.Now()
	ping(laps)
	fmt.Println(time.Since(start).Nanoseconds())
}
