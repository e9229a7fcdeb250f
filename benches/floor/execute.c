/* The least that a wrapper can do: it executes its arguments, and nothing else. */
#include <unistd.h>

int main(int count, char **words)
{
    if (count > 1)
        execv(words[1], words + 1);
    return 127;
}
