# Completion of PROGRAM for fish.
function __PROGRAM_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct | string collect --allow-empty)
    for line in (command $words[1] __complete -- $words[2..] "$word" 2> /dev/null)
        if string match -q ':files*' -- $line
            __fish_complete_path "$word"
        else
            echo $line
        end
    end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
