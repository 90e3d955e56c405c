# Completion of PROGRAM for bash.
_PROGRAM_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" word answer before
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word="${words[-1]}"
    COMPREPLY=()
    while IFS=$'\t' read -r answer _; do
        if [[ $answer == :files ]]; then
            compopt -o default 2> /dev/null
        else
            COMPREPLY+=("$answer")
        fi
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2> /dev/null)
    # For bash a colon ends a word.
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        before="${word%"${word##*:}"}"
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}
complete -F _PROGRAM_complete PROGRAM
