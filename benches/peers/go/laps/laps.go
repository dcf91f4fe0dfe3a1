// Package laps times what goroutines do again and again, over all of them, whoever does it.
package laps

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Laps counts without locked instructions: GOMAXPROCS is 1, and goroutines give way between laps.
//
// The first laps warm up and see to it that everybody has begun. When the time is over, the lap that is done
// then prints the nanoseconds for one and ends the process, with all that is still running.
type Laps struct {
	done, lookAt, step, first int
	time                      time.Duration
	start                     time.Time
}

// New is for laps of so many who take part, for so many seconds.
func New(live int, seconds float64) *Laps {
	step := max(1000, live)
	return &Laps{lookAt: 2 * step, step: step, time: time.Duration(seconds * float64(time.Second))}
}

// Add says that so many are done.
func (laps *Laps) Add(count int) {
	laps.done += count
	if laps.done >= laps.lookAt {
		laps.look()
	}
}

func (laps *Laps) look() {
	now := time.Now()
	if laps.first == 0 {
		laps.start, laps.first = now, laps.done
	}
	elapsed := now.Sub(laps.start)
	if elapsed >= laps.time && laps.done > laps.first {
		fmt.Println(float64(elapsed.Nanoseconds()) / float64(laps.done-laps.first))
		os.Exit(0)
	}
	laps.lookAt = laps.done + laps.step
}

// Number is the argument at that place.
func Number(place int) int {
	number, err := strconv.Atoi(os.Args[place])
	if err != nil {
		panic(err)
	}
	return number
}

// Seconds is the argument at that place, which need not be whole.
func Seconds(place int) float64 {
	seconds, err := strconv.ParseFloat(os.Args[place], 64)
	if err != nil {
		panic(err)
	}
	return seconds
}
