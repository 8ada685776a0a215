"""Tasks side by side, one that waits for all of them, and a result.

python examples/quickstart.py                 needs nothing else: a private server is started, and workers come along
orchestrator worker -A examples.quickstart    in another terminal: now the calls run there
"""

from orchestrator import flow, task, wait


@task
def square(x: int) -> int:
    return x * x


@task
def add_up(numbers: list[int]) -> int:
    return sum(numbers)


@flow
def sum_of_squares(count: int) -> int:
    squares = square.map(range(count))  # one call each, sent together
    total = add_up.submit(squares)  # starts by itself when they have all completed
    wait(squares)
    print("the first five:", [future.result() for future in squares[:5]])
    return total.result()


if __name__ == "__main__":
    print("the sum of 100 squares:", sum_of_squares(100))
