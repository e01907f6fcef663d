// Command apidoc writes the API's documentation, as Markdown, from the comments in the contract. It reads a binary FileDescriptorSet with
// source information from its standard input, as `buf build -o - --as-file-descriptor-set` writes it:
//
//	apidoc <file to write>
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "apidoc:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader) error {
	if len(args) != 1 {
		return errors.New("one argument is needed: the file to write")
	}
	data, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, set); err != nil {
		return err
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return err
	}
	text, err := page(files)
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], []byte(text), 0o666)
}
